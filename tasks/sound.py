"""Fix the exact rows that a training may use: what the rules refuse goes aside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from prefect import runtime
from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.datasets.log_reader import list_segments, read_predictions
from perennial.datasets.snapshot import Snapshot, StoredSnapshots
from perennial.datasets.source import read_rows, read_source
from perennial.evaluation.decision import Leak
from perennial.loop.gathered import gather
from perennial.loop.request import RetrainRequest
from perennial.loop.sound import fix_rows, hold_against_served, learn_first, write_down_held
from perennial.loop.versions import find_champion
from perennial.registry import Declaration
from perennial.store import layout
from perennial.validation import Finding, Report
from perennial.validation.quarantine import Quarantine
from perennial.validation.skew import SkewVerdict
from tasks import events
from tasks.artifacts import link, publish, table
from tasks.connection import fetch, store
from tasks.expectations import sound_suite, suite_in_force
from tasks.notify import notify
from tasks.step import step

_SEGMENTS = 200
"""Of the log, the newest, whose rows are held against the source's."""
_HELP = (
    "mend the rows where they come from, or the rule in expectations.json if they are right; then "
    "ask again"
)


class SoundRows(BaseModel):
    """A snapshot of the rows that the rules let through, and what the rules said of all."""

    declaration: Declaration
    """With what only the source tells: how it writes its times."""
    snapshot: Snapshot
    report: Report
    skew: SkewVerdict
    later: tuple[Leak, ...]
    """Features that served rows show to be filled in or changed later."""


@step(retries=2, retry_delay_seconds=2)
def snapshot_sound_rows(declaration: Declaration, cause: str | None) -> SoundRows:
    """Gather the labelled rows, set aside what the rules refuse, and write the rest once.

    The first rows teach the suite; sound ones teach it again, and a person's edits stay.

    Args:
        cause: key of the check that asks for it. A file that is no suite does not stop what the
            loop asks for: the rules before it are in force.

    Raises:
        SourceError: the source cannot be read, or no row has a label.
        ValidationFailed: a person asks for it, and expectations.json is no suite.
    """
    name = declaration.spec.name
    read = read_rows(declaration.spec, declaration.path, fetch=fetch)
    declaration = declaration.model_copy(update={"spec": read.spec})
    gathered = gather(store(), read, Quarantine(store(), name).held_windows())
    learn_first(store(), gathered.frame, read.spec)
    suite = suite_in_force(declaration) if cause is None else sound_suite(declaration)[0]
    assert suite is not None  # learned just now, if not before
    fixed = fix_rows(store(), StoredSnapshots(store(), name), gathered, suite)
    if fixed.aside:
        get_run_logger().warning(
            "%d rows set aside: 'perennial quarantine %s' shows them", fixed.aside, name
        )
    skew, later = _as_served(declaration)
    _tell(fixed.snapshot, fixed.report, skew)
    return SoundRows(
        declaration=declaration,
        snapshot=fixed.snapshot,
        report=fixed.report,
        skew=skew,
        later=later,
    )


@step(retries=2, retry_delay_seconds=2)
def tell_held(sound: SoundRows, request: RetrainRequest) -> str:
    """Say why a snapshot is not trained on: in the history, by an event, and by a message to who
    wants to know.

    A check that asks for a heal goes on asking; what holds it back is told once.

    Returns:
        The reason, of several rules the first, and what helps.
    """
    name, sha256 = sound.snapshot.pipeline, sound.snapshot.sha256
    held = sound.report.held
    reason = "; ".join(str(finding) for finding in held) + f": {_HELP}"
    write_down_held(store(), name, reason, request)
    events.emit(events.DATA_HELD, name, {"snapshot": sha256, "reason": reason})
    notify(
        name,
        "data held, the champion goes on",
        reason,
        incident=_incident(held, request.cause),
        page=layout.validation_report(name, sha256),
    )
    more = f"; and {len(held) - 1} more, see the validation" if len(held) > 1 else ""
    return f"{held[0]}{more}: {_HELP}"


def _incident(held: Sequence[Finding], cause: str | None) -> str:
    """The same rules that hold back what the same check asks for are one incident."""
    rules = sorted({f"{finding.column}/{finding.rule}" for finding in held})
    asked = [runtime.flow_run.id] if cause is None else [cause]
    return f"held-{hashlib.sha256(json.dumps([*rules, *asked]).encode()).hexdigest()[:12]}"


def _as_served(declaration: Declaration) -> tuple[SkewVerdict, tuple[Leak, ...]]:
    """Hold the newest served rows against the source: what differs, and what comes later."""
    spec = declaration.spec
    champion = find_champion(store(), spec.name)
    segments = list_segments(store(), layout.prediction_log(spec.name))[-_SEGMENTS:]
    if champion is None or not segments:
        return SkewVerdict(key=None, rows=0), ()
    source = read_source(spec, declaration.path, fetch=fetch)
    return hold_against_served(spec, champion, source, read_predictions(store(), segments))


def _tell(snapshot: Snapshot, report: Report, skew: SkewVerdict) -> None:
    from perennial.report.validation import validation_page

    name, logger = snapshot.pipeline, get_run_logger()
    logger.info("%d labelled rows, snapshot %s", snapshot.rows, snapshot.sha256[:12])
    for finding in report.findings:
        logger.warning("%s", finding)
    if skew.skewed:
        logger.warning("training and serving skew: %s", skew)
    page = validation_page(name, f"Snapshot {snapshot.sha256}.", report, skew)
    key = layout.validation_report(name, snapshot.sha256)
    store().put(key, page.encode(), content_type="text/html; charset=utf-8")
    publish(
        "validation",
        name,
        f"{link(key, 'The report')}, `{key}` in the store.\n\n" + _markdown(report, skew),
        description=f"{report.rows} rows",
    )


def _markdown(report: Report, skew: SkewVerdict) -> str:
    head = (
        f"{report.rows:,} rows, {report.rules} rules, {len(report.findings)} broken, "
        f"{report.refused:,} rows set aside.\n\nTraining and serving: {skew}.\n\n"
    )
    return head + findings_table(report)


def findings_table(report: Report) -> str:
    """Each rule that was broken, as markdown; empty where none was."""
    if not report.findings:
        return ""
    rows: list[tuple[Any, ...]] = [
        (f.column or "table", f.rule, f.severity, f.refused or "", f.observed)
        for f in report.findings
    ]
    return table(["column", "rule", "severity", "set aside", "observed"], rows)
