"""Which of the gathered rows the rules let through, and what these rules learn from them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.datasets.snapshot import Snapshot, Snapshots
from perennial.errors import ValidationFailed
from perennial.evaluation.decision import Leak
from perennial.evaluation.leakage import changed_later, filled_later
from perennial.loop.gathered import Gathered
from perennial.loop.request import RetrainRequest
from perennial.loop.versions import Champion
from perennial.registry import append_history, new_entry
from perennial.registry.history import newest_entry
from perennial.spec import PipelineSpec
from perennial.store import Store
from perennial.store.lease import utc_now
from perennial.validation import Evaluation, Report, learn_suite
from perennial.validation.quarantine import ID, Quarantine, row_ids
from perennial.validation.skew import SkewVerdict, compare, join
from perennial.validation.suites import find_learned, keep_learned

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class SortedRows:
    """Gathered rows, sorted by what the rules say of each."""

    sound: pd.DataFrame
    refused: pd.DataFrame
    rules: tuple[str, ...]
    """By which each of the refused ones was."""
    report: Report


@dataclass(frozen=True)
class FixedRows:
    """The exact rows that a training may use."""

    snapshot: Snapshot
    report: Report
    aside: int
    """Rows that were put into quarantine just now."""


def sort_out(
    frame: pd.DataFrame, spec: PipelineSpec, suite: dict[str, Any], released: set[str]
) -> SortedRows:
    """Hold labelled rows against a suite.

    Args:
        frame: as `Gathered.frame`.
        suite: in force.
        released: names of rows that a person let out of quarantine.

    Raises:
        ValidationFailed: the suite is none.
    """
    evaluation = Evaluation(
        suite, share=spec.validation.quarantine_share, exempt=is_released(spec, released)
    )
    refusals = evaluation.add(frame)
    report = evaluation.report(lambda columns: frame if columns is None else frame[columns])
    refused = refusals >= 0
    return SortedRows(
        sound=frame[~refused],
        refused=frame[refused],
        rules=tuple(evaluation.rules[number].name for number in refusals[refused]),
        report=report,
    )


def fix_rows(
    store: Store,
    snapshots: Snapshots,
    gathered: Gathered,
    suite: dict[str, Any],
    *,
    clock: Callable[[], datetime] = utc_now,
) -> FixedRows:
    """Set aside what the rules refuse, keep the rest as a snapshot, and let it teach the rules.

    Where the report holds the data nothing is learned; where all rows were refused the snapshot has
    all of them, for who looks into it.

    Raises:
        ValidationFailed: the suite is none.
    """
    spec, frame = gathered.spec, gathered.frame
    quarantine = Quarantine(store, spec.name)
    found = sort_out(frame, spec, suite, quarantine.exempt())
    kept = found.sound if len(found.sound) else frame
    snapshot = snapshots.take(
        kept,
        source=spec.source.uri,
        source_rows=gathered.source_rows,
        from_source=sum(not isinstance(name, str) for name in kept.index),
    )
    aside = _put_aside(quarantine, found, gathered, snapshot.sha256, clock())
    if not found.report.held:
        learn(store, found.sound, spec)
    return FixedRows(snapshot, found.report, aside)


def learn_first(store: Store, frame: pd.DataFrame, spec: PipelineSpec) -> None:
    """Learn a suite from the very first rows, where none was learned yet or it was damaged."""
    try:
        known = find_learned(store, spec.name)
    except ValidationFailed as error:
        _log.warning("%s; it is learned anew", error)
        known = None
    if known is None:
        learn(store, frame, spec)


def learn(store: Store, frame: pd.DataFrame, spec: PipelineSpec) -> None:
    """Learn the suite from sound rows; a person's changes hold over it."""
    from perennial.training.columns import infer_features

    suite = learn_suite(frame, infer_features(frame, spec), spec)
    keep_learned(store, spec.name, suite)


def write_down_held(
    store: Store,
    pipeline: str,
    reason: str,
    request: RetrainRequest,
    *,
    clock: Callable[[], datetime] = utc_now,
) -> None:
    """Say in the history why rows are not trained on: once, however often the same check asks."""
    last = newest_entry(store, pipeline)
    told = last is not None and (last.event, last.cause, last.reason) == (
        "retrain.held",
        request.cause,
        reason,
    )
    if told and request.cause is not None:
        return
    entry = new_entry(
        "retrain.held",
        reason=reason,
        by=request.run,
        cause=request.cause,
        details={"depth": request.depth},
        at=clock(),
    )
    append_history(store, pipeline, entry)


def hold_against_served(
    spec: PipelineSpec, champion: Champion, source: pd.DataFrame, served: pd.DataFrame
) -> tuple[SkewVerdict, tuple[Leak, ...]]:
    """Hold served rows against the source: what differs, and what comes later.

    Args:
        served: of the log, the newest.
    """
    features = champion.signature.features
    joined = join(served, source, apart=spec.target)
    # An older version may have been asked without a feature that this one has.
    mine = served[served["_version"] == champion.name]
    later = filled_later(mine, source.dropna(subset=spec.target), features)
    if joined is not None:
        changed = changed_later(joined.served, joined.source, features, spec.target, spec.task)
        later += tuple(leak for leak in changed if leak.column not in {x.column for x in later})
    return compare(joined, features), later


def is_released(
    spec: PipelineSpec, released: set[str]
) -> Callable[[pd.DataFrame], NDArray[np.bool_]]:
    """What tells of gathered rows which of them were released from quarantine."""
    return lambda rows: np.array([name in released for name in _names(rows, spec)])


def _names(rows: pd.DataFrame, spec: PipelineSpec) -> list[str]:
    """Names of gathered rows in quarantine."""
    served = np.array([isinstance(name, str) for name in rows.index], dtype=bool)
    names = pd.Series(rows.index, index=rows.index, dtype=object)
    places = np.array([-1 if isinstance(name, str) else int(name) for name in rows.index])
    return row_ids(rows.assign(**{ID: names.where(served, None)}), places, spec)


def _put_aside(
    quarantine: Quarantine, found: SortedRows, gathered: Gathered, name: str, now: datetime
) -> int:
    """Write what is new in quarantine, and release what stands there and passes now."""
    lost, spec = gathered.unusable, gathered.spec
    ids = _names(found.refused, spec)
    new = quarantine.put_aside(name, found.refused, found.rules, ids, now)
    new += quarantine.put_unusable("served", lost, list(lost.index), now)
    if any(entry.record.kind == "rows" for entry in quarantine.entries()):
        passing = _names(found.sound, spec)
        quarantine.settle(passing, [*ids, *lost.index], name[:12], now)
    return new
