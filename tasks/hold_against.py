"""Hold data against a pipeline's expectations, without using them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from prefect.logging import get_run_logger
from pydantic import BaseModel
from ulid import ULID

from perennial.datasets.source import read_source
from perennial.loop.sound import is_released
from perennial.registry import Declaration
from perennial.scoring import copy_inputs, parse_address
from perennial.store import layout
from perennial.validation import Report, validate_files, validate_training
from perennial.validation.quarantine import Quarantine
from tasks.artifacts import link, publish
from tasks.connection import fetch, store, store_of
from tasks.expectations import suite_in_force
from tasks.sound import findings_table
from tasks.step import may_pass, step


class HeldAgainst(BaseModel):
    """What the rules said of some data, by the key of its page."""

    page: str
    held: bool
    """Whether a training on them would be held."""
    told: str


@step(retries=2, retry_delay_seconds=2, retry_condition_fn=may_pass)
def hold_against(declaration: Declaration, data: str | None) -> HeldAgainst:
    """Judge files in the store, or the source, as a training would, and write the page.

    Raises:
        ValidationFailed: there are no expectations yet, or they are no suite.
        SpecError: the address is none.
        SourceError: there is nothing to read.
    """
    from perennial.report.validation import validation_page

    spec = declaration.spec
    suite = suite_in_force(declaration)
    if data is None:
        frame = read_source(spec, declaration.path, fetch=fetch)
        exempt = is_released(spec, Quarantine(store(), spec.name).exempt())
        report = validate_training(frame, suite, spec, exempt=exempt)
    else:
        with tempfile.TemporaryDirectory(prefix="perennial-validate-") as folder:
            address = parse_address(data, store().bucket)
            files = copy_inputs(store_of(address.bucket), address, Path(folder))
            report = validate_files(files, suite, spec)
    what = spec.source.uri if data is None else data
    page = layout.validation_page(spec.name, str(ULID()))
    html = validation_page(spec.name, f"{what}, held against the expectations.", report)
    store().put(page, html.encode(), content_type="text/html; charset=utf-8")
    done = HeldAgainst(page=page, held=bool(report.held), told=_told(report))
    text = f"**{what}**: {done.told}.\n\n{link(page, 'The report')}, `{page}` in the store.\n\n"
    publish("validate", spec.name, text + findings_table(report), description=what)
    get_run_logger().info("%s: %s", what, done.told)
    return done


def _told(report: Report) -> str:
    aside = f" ({report.unlabelled:,} without a label left out)" if report.unlabelled else ""
    rows = f"{report.rows:,} rows{aside}, {report.rules} rules"
    if not report.findings:
        return f"{rows}, none broken"
    worst = report.held or report.findings
    return f"{rows}, {len(report.findings)} broken: " + "; ".join(map(str, worst[:3]))
