"""What came of a demo, from what the store says: the log, the history, the checks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from perennial.backtest.baselines import nothing_to_recover, recovered
from perennial.datasets.dates import Dates
from perennial.datasets.log_reader import (
    SegmentReader,
    list_segments,
    read_feedback,
    read_predictions,
)
from perennial.demo.plan import Plan, request_id
from perennial.demo.play import Played
from perennial.demo.unhealed import (
    Held,
    PassedOver,
    Refusal,
    find_held,
    find_refusals,
    passed_over,
)
from perennial.drift.record import Check
from perennial.evaluation.metrics import score
from perennial.evaluation.targets import align_classes, encode_known
from perennial.registry import HistoryEntry, read_history, read_manifest, read_signature
from perennial.store import Store, layout


class Score(BaseModel):
    """The pipeline's metric, pooled over all rows behind the first fifth."""

    perennial: float
    never: float
    every: float


class TakeOver(BaseModel):
    """A version and the first window (counted from 1) in which it answered."""

    version: str
    window: int | None


class HealSeconds(BaseModel):
    """How long the phases of a heal took."""

    confirm_to_first_line: float
    train: float
    total: float
    """From the confirmed drift to the new version in ``state.json``."""


class Heal(BaseModel):
    """A confirmed drift and the version that answered it."""

    window: int
    dates: Dates | None
    version: str
    depth: str
    """``retrain``, or that of a head."""
    reason: str
    confirmed_at: datetime
    first_line_at: datetime
    registered_at: datetime
    live_at: datetime
    first_answer_at: datetime | None
    seconds: HealSeconds


class Requests(BaseModel):
    """Rows sent to the server."""

    sent: int
    answered: int
    failed: int


class LogCounts(BaseModel):
    """Ids in the store."""

    predictions: int
    feedback: int


class Summary(BaseModel):
    """``summary.json``."""

    pipeline: str
    metric: str
    windows: int
    rows: int
    score: Score
    recovered: float | None
    """(perennial - never) / (every - never); None where retraining at every window gains nothing.
    """
    nothing_to_recover: str = ""
    """Said so where it gains nothing; else empty."""
    retrains: int
    """New models."""
    corrections: int
    """Put on a model, or taken off."""
    refused: int
    """Heals whose candidate failed its gate."""
    refusals: list[Refusal] = []
    promotions: list[TakeOver]
    heals: list[Heal]
    held: list[Held]
    passed_over: list[PassedOver]
    requests: Requests
    log: LogCounts
    wall_seconds: float
    peak_rss_mb: float


@dataclass(frozen=True)
class Trace:
    """What the log says of the rows behind the first fifth, in stream order."""

    y: NDArray[Any]
    """Truth of the labelled rows."""
    output: NDArray[Any]
    """What was answered for them (rows, width)."""
    known: NDArray[Any]
    """Which rows behind the first fifth are in the two above (all rows,)."""
    answered_by: list[str | None]
    """Version that answered each row (all rows,); None where the log has no answer."""
    first_answer: dict[str, datetime]
    """When each version first answered."""
    predictions: int
    feedback: int


def read_trace(store: Store, plan: Plan) -> Trace:
    """Join the prediction log with the stream's truth."""
    name, first = plan.spec.name, plan.cut.first
    log = read_predictions(store, list_segments(store, layout.prediction_log(name)))
    by_id = log.set_index("_id")
    ids = [request_id(row) for row in range(first, len(plan.frame))]
    rows = by_id.reindex(ids)
    versions: list[str | None] = [None if pd.isna(v) else str(v) for v in rows["_version"]]
    signatures = {
        version: read_signature(store, read_manifest(store, name, version))
        for version in sorted({v for v in versions if v is not None})
    }
    newest = signatures[max(signatures)]
    truths = plan.frame[plan.spec.target].iloc[first:]
    known = encode_known(truths, newest)[1]
    known &= np.array([v is not None for v in versions])
    y = encode_known(truths[known], newest)[0]
    output = [
        align_classes(np.asarray(cell)[None, :], signatures[version].classes, newest.classes)[0]
        for cell, version, kept in zip(rows["_output"], versions, known, strict=True)
        if kept and version is not None
    ]
    return Trace(
        y=y,
        output=np.array(output),
        known=known,
        answered_by=versions,
        first_answer={
            str(v): at.to_pydatetime() for v, at in log.groupby("_version")["_time"].min().items()
        },
        predictions=len(log),
        feedback=len(read_feedback(SegmentReader(store), name)),
    )


def window_scores(plan: Plan, trace: Trace) -> list[float]:
    """The metric of what was answered, window by window; NaN where no label is known."""
    place = np.cumsum(trace.known)
    scores = []
    for window in range(plan.cut.windows):
        low, high = (row - plan.cut.first for row in plan.rows(window))
        start, end = (int(place[row - 1]) if row else 0 for row in (low, high))
        scores.append(score(plan.spec.metric, trace.y[start:end], trace.output[start:end]))
    return scores


def summarise(
    store: Store,
    plan: Plan,
    played: Played,
    trace: Trace,
    scores: Score,
    peak_rss_mb: float,
    *,
    gains: bool,
) -> Summary:
    """Gather what the store says into ``summary.json``.

    Args:
        gains: whether retraining at every window gains anything.
    """
    history = list(read_history(store, plan.spec.name))
    caused = [e for e in history if e.event == "version.registered" and e.cause is not None]
    heals = [_heal(store, entry, history, trace) for entry in caused]
    retrains = sum(heal.depth == "retrain" for heal in heals)
    refusals = find_refusals(history)
    checks = [
        Check.model_validate_json(store.get(info.key).data)
        for info in store.scan(layout.checks(plan.spec.name))
    ]
    return Summary(
        pipeline=plan.spec.name,
        metric=plan.spec.metric,
        windows=plan.cut.windows,
        rows=len(plan.frame) - plan.cut.first,
        score=scores,
        recovered=recovered(scores.perennial, scores.never, scores.every, gains=gains),
        nothing_to_recover=nothing_to_recover(
            scores.never, scores.every, scores.perennial, gains=gains
        ),
        retrains=retrains,
        corrections=len(heals) - retrains,
        refused=sum(refusal.what == "refused" for refusal in refusals),
        refusals=refusals,
        promotions=_take_overs(plan, trace, history),
        heals=heals,
        held=find_held(plan, checks),
        passed_over=passed_over(checks, plan.spec.policy.loss_increase),
        requests=Requests(
            sent=played.tally.sent, answered=played.tally.answered, failed=played.tally.failed
        ),
        log=LogCounts(predictions=trace.predictions, feedback=trace.feedback),
        wall_seconds=round(played.seconds, 1),
        peak_rss_mb=round(peak_rss_mb),
    )


def _take_overs(plan: Plan, trace: Trace, history: list[HistoryEntry]) -> list[TakeOver]:
    return [
        TakeOver(version=entry.version, window=_first_window(plan, trace, entry.version))
        for entry in history
        if entry.event == "rollout.promoted" and entry.version is not None
    ]


def _first_window(plan: Plan, trace: Trace, version: str) -> int | None:
    if version not in trace.answered_by:
        return None
    row = plan.cut.first + trace.answered_by.index(version)
    return int(np.searchsorted(plan.cut.bounds, row, side="right"))


def _heal(store: Store, entry: HistoryEntry, history: list[HistoryEntry], trace: Trace) -> Heal:
    assert entry.cause is not None
    assert entry.version is not None
    check = Check.model_validate_json(store.get(entry.cause).data)
    live = next(e for e in history if e.event == "rollout.promoted" and e.version == entry.version)
    first_line = datetime.fromisoformat(entry.details["started_at"])
    return Heal(
        window=layout.window_number(check.window),
        dates=check.dates,
        version=entry.version,
        depth=check.decision.name,
        reason=entry.reason,
        confirmed_at=check.at,
        first_line_at=first_line,
        registered_at=entry.at,
        live_at=live.at,
        first_answer_at=trace.first_answer.get(entry.version),
        seconds=HealSeconds(
            confirm_to_first_line=round((first_line - check.at).total_seconds(), 2),
            train=entry.details["train_seconds"],
            total=round((live.at - check.at).total_seconds(), 2),
        ),
    )
