"""Hold the newest rows against the pipeline's expectations before anything is trained on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from prefect.logging import get_run_logger

from perennial.errors import ValidationFailed
from perennial.registry import Declaration
from perennial.store import layout
from perennial.validation import Report, learn_suite, validate
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.snapshot import SnapshotRef, rows_of
from tasks.step import step

EXPECTATIONS_FILE = "expectations.json"


@step(retries=1, retry_delay_seconds=2)
def validate_snapshot(declaration: Declaration, ref: SnapshotRef) -> Report:
    """Check a snapshot with Great Expectations; the first one teaches the suite.

    The suite is ``expectations.json`` beside pipeline.yaml (a person's edits count from the next
    run on), with a copy in the store for workers that cannot see the folder.

    Raises:
        ValidationFailed: the suite is no suite.
    """
    frame = rows_of(ref)
    suite = _find_suite(declaration) or _learn(declaration, frame)
    report = validate(frame, suite)
    for finding in report.findings:
        get_run_logger().warning("%s", finding)
    publish("validation", ref.pipeline, _markdown(report), description=f"{report.rows} rows")
    return report


def _find_suite(declaration: Declaration) -> dict[str, Any] | None:
    key = layout.expectations(declaration.spec.name)
    file = _file(declaration)
    if file is not None and file.is_file():
        data = file.read_bytes()
        suite = _parse(data, str(file))
        store().put(key, data, content_type="application/json")
        return suite
    found = store().find(key)
    return None if found is None else _parse(found.data, key)


def _learn(declaration: Declaration, frame: pd.DataFrame) -> dict[str, Any]:
    from perennial.training.columns import infer_features

    spec = declaration.spec
    suite = learn_suite(frame, infer_features(frame, spec), spec)
    data = (json.dumps(suite, indent=2) + "\n").encode()
    store().put(layout.expectations(spec.name), data, content_type="application/json")
    file = _file(declaration)
    if file is not None:
        try:
            file.write_bytes(data)
        except OSError as error:
            get_run_logger().warning("the suite stays in the store only: %s", error)
    return suite


def _file(declaration: Declaration) -> Path | None:
    return declaration.path / EXPECTATIONS_FILE if declaration.path is not None else None


def _parse(data: bytes, where: str) -> dict[str, Any]:
    try:
        suite = json.loads(data)
    except ValueError as error:
        raise ValidationFailed(f"{where} is no JSON: {error}") from None
    if not isinstance(suite, dict):
        raise ValidationFailed(f"{where} is no suite: an object is expected")
    return suite


def _markdown(report: Report) -> str:
    head = f"{report.rows:,} rows, {report.rules} rules, {len(report.findings)} broken.\n\n"
    if not report.findings:
        return head
    rows = [(f.column or "table", f.rule, f.severity, f.observed) for f in report.findings]
    return head + table(["column", "rule", "severity", "observed"], rows)
