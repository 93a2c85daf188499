"""Two versions answer the same rows, which neither has learned from: who is better by how much."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from perennial.datasets.labels import labelled_rows
from perennial.datasets.seen import rows_behind
from perennial.datasets.snapshot import find_snapshot, load_snapshot, span_of
from perennial.errors import NotFound
from perennial.evaluation.division import MIN_ROWS
from perennial.evaluation.metrics import score
from perennial.evaluation.paired import batch_mean, paired_losses
from perennial.evaluation.targets import align_classes, encode_known
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.registry import (
    Manifest,
    find_declaration,
    list_versions,
    read_file,
    read_signature,
)
from perennial.registry.learned import learned_by
from perennial.registry.manifest import MODEL_FILE
from perennial.spec import PipelineSpec
from perennial.store import Store

CONFIDENCE = 0.9


class Contest(BaseModel):
    """How two versions did on the same rows, or why they could not be held against one another."""

    model_config = ConfigDict(frozen=True)

    left: str
    right: str
    metric: str
    rows: int
    """Newest labelled rows that neither has learned from, of classes that both know."""
    first: datetime | None = None
    """Time of the first of them, where the pipeline has a time."""
    last: datetime | None = None
    left_score: float | None = None
    right_score: float | None = None
    change: float | None = None
    """Loss of the right one less that of the left one, as a share of the left one's."""
    low: float | None = None
    """Ends of its interval at 90% confidence."""
    high: float | None = None
    reason: str | None = None
    """Why there are no figures, and what helps."""


def hold_contest(store: Store, left: Manifest, right: Manifest) -> Contest:
    """Let two versions answer the newest labelled rows in the store that neither has learned from:
    those of the newest version's snapshot, or those that were served, whichever are more.

    Raises:
        ModelError: a graph was altered, or does not say what it was trained on.
        StoreError: a snapshot was altered.
    """
    declaration = find_declaration(store, left.pipeline)
    names: dict[str, Any] = {"left": left.version, "right": right.version}
    if declaration is None:
        return Contest(**names, metric="", rows=0, reason="the pipeline is not declared any more")
    spec = declaration.spec
    try:
        frame = _unseen(store, spec, left, right)
    except NotFound as error:
        return Contest(**names, metric=spec.metric, rows=0, reason=f"rows are gone: {error}")
    mine, theirs = (
        Predictor(read_file(store, version, MODEL_FILE), read_signature(store, version))
        for version in (left, right)
    )
    both = np.ones(len(frame), dtype=bool)
    for one in (mine, theirs):
        both &= encode_known(frame[spec.target], one.signature)[1]
    frame = frame[both]
    if len(frame) < MIN_ROWS:
        return Contest(
            **names,
            metric=spec.metric,
            rows=len(frame),
            reason=f"the store has {len(frame)} labelled rows that neither has learned from, "
            f"{MIN_ROWS} are needed: wait for labels",
        )
    first, last = span_of(frame, spec.time)
    return Contest(
        **names,
        metric=spec.metric,
        rows=len(frame),
        first=first,
        last=last,
        **_figures(spec, frame, mine, theirs),
    )


def _unseen(store: Store, spec: PipelineSpec, left: Manifest, right: Manifest) -> pd.DataFrame:
    """The newest rows that neither version has learned from."""
    newest = max([*list_versions(store, spec.name), left, right], key=lambda m: m.created_at)
    snapshot = load_snapshot(store, find_snapshot(store, spec.name, newest.lineage.snapshot))
    learned = [learned_by(store, version) for version in (left, right)]
    served = labelled_rows(store, spec, snapshot.iloc[:0]).frame
    found = []
    for frame in (snapshot, served):
        count = min(rows_behind(frame, seen) for seen in learned) if len(frame) else 0
        found.append(frame.iloc[len(frame) - count :])
    return max(found, key=len)


def _figures(
    spec: PipelineSpec, frame: pd.DataFrame, mine: Predictor, theirs: Predictor
) -> dict[str, float | None]:
    y, _ = encode_known(frame[spec.target], mine.signature)
    outputs = [
        align_classes(
            one.predict(*encode_frame(one.signature, frame)),
            one.signature.classes,
            mine.signature.classes,
        )
        for one in (mine, theirs)
    ]
    losses = [paired_losses(spec.task, spec.metric, y, output) for output in outputs]
    difference = batch_mean(losses[1] - losses[0])
    low, high = difference.interval(CONFIDENCE)
    base = float(losses[0].mean())
    left, right = (_finite(score(spec.metric, y, output)) for output in outputs)
    shares = {"change": difference.mean, "low": low, "high": high}
    return {
        "left_score": left,
        "right_score": right,
        **{name: _finite(value / base) if base > 0 else None for name, value in shares.items()},
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
