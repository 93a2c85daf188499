"""Fix the exact rows that a training may use: what the rules refuse goes aside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from prefect import runtime
from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.datasets.log_reader import list_segments, read_predictions
from perennial.datasets.source import read_source
from perennial.evaluation.decision import Leak
from perennial.evaluation.leakage import changed_later, filled_later
from perennial.loop.versions import find_champion
from perennial.registry import Declaration, append_history, new_entry
from perennial.registry.history import newest_entry
from perennial.store import layout
from perennial.store.lease import utc_now
from perennial.validation import Evaluation, Finding, Report
from perennial.validation.quarantine import ID, Quarantine, row_ids
from perennial.validation.skew import SkewVerdict, compare, join
from tasks import events
from tasks.artifacts import link, publish, table
from tasks.connection import fetch, store
from tasks.expectations import learn, learn_first, sound_suite, suite_in_force
from tasks.notify import notify
from tasks.request import RetrainRequest
from tasks.snapshot import Gathered, SnapshotRef, gather, snapshot_rows
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
    snapshot: SnapshotRef
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
    spec = declaration.spec
    quarantine = Quarantine(store(), spec.name)
    gathered = gather(declaration, quarantine.held_windows())
    declaration = declaration.model_copy(update={"spec": gathered.spec})
    frame = gathered.frame
    learn_first(declaration, frame)
    suite = suite_in_force(declaration) if cause is None else sound_suite(declaration)[0]
    assert suite is not None  # learned just now, if not before
    evaluation = Evaluation(
        suite,
        share=spec.validation.quarantine_share,
        exempt=is_released(declaration, quarantine.exempt()),
    )
    refusals = evaluation.add(frame)
    report = evaluation.report(lambda columns: frame if columns is None else frame[columns])
    sound = frame[refusals < 0]
    ref = snapshot_rows(declaration, sound if len(sound) else frame, gathered)
    _put_aside(declaration, quarantine, ref, evaluation, gathered, refusals)
    if not report.held:
        learn(declaration, sound)
    skew, later = _as_served(declaration)
    _tell(ref, report, skew)
    return SoundRows(declaration=declaration, snapshot=ref, report=report, skew=skew, later=later)


@step(retries=2, retry_delay_seconds=2)
def tell_held(sound: SoundRows, request: RetrainRequest) -> str:
    """Say why a snapshot is not trained on: in the history, by an event, and by a message to who
    wants to know.

    A check that asks for a heal goes on asking; what holds it back is told once.

    Returns:
        The reason, of several rules the first, and what helps.
    """
    name, cause = sound.snapshot.pipeline, request.cause
    held = sound.report.held
    reason = "; ".join(str(finding) for finding in held) + f": {_HELP}"
    _write_down(name, reason, request)
    events.emit(events.DATA_HELD, name, {"snapshot": sound.snapshot.sha256, "reason": reason})
    notify(
        name,
        "data held, the champion goes on",
        reason,
        incident=_incident(held, cause),
        page=layout.validation_report(name, sound.snapshot.sha256),
    )
    more = f"; and {len(held) - 1} more, see the validation" if len(held) > 1 else ""
    return f"{held[0]}{more}: {_HELP}"


def _write_down(pipeline: str, reason: str, request: RetrainRequest) -> None:
    last = newest_entry(store(), pipeline)
    told = last is not None and (last.event, last.cause, last.reason) == (
        "retrain.held",
        request.cause,
        reason,
    )
    if told and request.cause is not None:
        return
    details = {"depth": request.depth}
    entry = new_entry(
        "retrain.held", reason=reason, by=request.run, cause=request.cause, details=details
    )
    append_history(store(), pipeline, entry)


def _incident(held: Sequence[Finding], cause: str | None) -> str:
    """The same rules that hold back what the same check asks for are one incident."""
    rules = sorted({f"{finding.column}/{finding.rule}" for finding in held})
    asked = [runtime.flow_run.id] if cause is None else [cause]
    return f"held-{hashlib.sha256(json.dumps([*rules, *asked]).encode()).hexdigest()[:12]}"


def is_released(
    declaration: Declaration, released: set[str]
) -> Callable[[pd.DataFrame], NDArray[np.bool_]]:
    """What tells of gathered rows which of them were released from quarantine."""
    return lambda rows: np.array([name in released for name in _ids(rows, declaration)])


def _ids(rows: pd.DataFrame, declaration: Declaration) -> list[str]:
    """Ids of gathered rows, whose index is the place in the source or the id in the log."""
    served = np.array([isinstance(name, str) for name in rows.index], dtype=bool)
    names = pd.Series(rows.index, index=rows.index, dtype=object)
    places = np.array([-1 if isinstance(name, str) else int(name) for name in rows.index])
    return row_ids(rows.assign(**{ID: names.where(served, None)}), places, declaration.spec)


def _put_aside(
    declaration: Declaration,
    quarantine: Quarantine,
    ref: SnapshotRef,
    evaluation: Evaluation,
    gathered: Gathered,
    refusals: NDArray[np.int16],
) -> None:
    """Write what is new in quarantine, and release what stands there and passes now."""
    frame, lost = gathered.frame, gathered.unusable
    refused = frame[refusals >= 0]
    ids = _ids(refused, declaration)
    names = [evaluation.rules[number].name for number in refusals[refusals >= 0]]
    now = utc_now()
    new = quarantine.put_aside(ref.sha256, refused, names, ids, now)
    new += quarantine.put_unusable("served", lost, list(lost.index), now)
    entries = quarantine.entries()
    if any(entry.record.kind == "rows" for entry in entries):
        passing = frame[refusals < 0]
        quarantine.settle(_ids(passing, declaration), [*ids, *lost.index], ref.sha256[:12], now)
    if new:
        get_run_logger().warning(
            "%d rows set aside: 'perennial quarantine %s' shows them", new, ref.pipeline
        )


def _as_served(declaration: Declaration) -> tuple[SkewVerdict, tuple[Leak, ...]]:
    """Hold the newest served rows against the source: what differs, and what comes later."""
    spec = declaration.spec
    champion = find_champion(store(), spec.name)
    segments = list_segments(store(), layout.prediction_log(spec.name))[-_SEGMENTS:]
    if champion is None or not segments:
        return SkewVerdict(key=None, rows=0), ()
    features = champion.signature.features
    source = read_source(spec, declaration.path, fetch=fetch)
    served = read_predictions(store(), segments)
    joined = join(served, source, apart=spec.target)
    # An older version may have been asked without a feature that this one has.
    mine = served[served["_version"] == champion.name]
    later = filled_later(mine, source.dropna(subset=spec.target), features)
    if joined is not None:
        changed = changed_later(joined.served, joined.source, features, spec.target, spec.task)
        later += tuple(leak for leak in changed if leak.column not in {x.column for x in later})
    return compare(joined, features), later


def _tell(ref: SnapshotRef, report: Report, skew: SkewVerdict) -> None:
    from perennial.report.validation import validation_page

    for finding in report.findings:
        get_run_logger().warning("%s", finding)
    if skew.skewed:
        get_run_logger().warning("training and serving skew: %s", skew)
    page = validation_page(ref.pipeline, f"Snapshot {ref.sha256}.", report, skew)
    key = layout.validation_report(ref.pipeline, ref.sha256)
    store().put(key, page.encode(), content_type="text/html; charset=utf-8")
    publish(
        "validation",
        ref.pipeline,
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
