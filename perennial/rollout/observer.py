"""From the log to the evidence.

Both models are held against each other on the same rows: whoever did not answer a row answers it
anew here, from the features in the log and with the graph and the code of the servers. So a
comparison needs no luck in who was asked what, and a row on which the challenger would fail is seen
before any client is. What only live traffic shows (who was asked, how long it took, whether a
server can load the model) is taken from the log and the history.

All of it is read again after a restart; an observer keeps nothing that the store does not hold.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from ulid import ULID

from perennial.datasets.log import ANSWERING_ROLES
from perennial.datasets.log_reader import SegmentReader, flatten_predictions, list_segments
from perennial.errors import ModelError, RequestError
from perennial.evaluation.metrics import loss_bound, prediction_shift, row_losses
from perennial.evaluation.targets import align_classes, encode_known
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.registry import State, read_history, read_manifest
from perennial.rollout.evidence import Evidence, Losses, Side
from perennial.rollout.slices import slice_masks
from perennial.spec import PipelineSpec
from perennial.store import Store, layout

SETTLE = timedelta(seconds=3)
"""Servers follow a change of the state within 2 s; requests of this span tell nothing of it."""
_CLOCK_SLACK = timedelta(minutes=1)
_SHADOW = "shadow"


class Observer:
    """Watches one step of one rollout.

    Args:
        state: as it was when the step was found; shadow, canary or bake.
        load: gives the graph of a version.
    """

    def __init__(
        self, store: Store, spec: PipelineSpec, state: State, load: Callable[[str], Predictor]
    ) -> None:
        baking = state.stage == "bake"
        challenger = state.champion if baking else state.challenger
        champion = state.previous if baking else state.champion
        if challenger is None or champion is None or state.began is None or state.since is None:
            raise ValueError(f"no rollout is under way in stage {state.stage}")
        self._store = store
        self._spec = spec
        self._state = state
        self._began, self._since = state.began, state.since
        self._names = challenger, champion
        self._refused: str | None = None
        theirs = load(champion)
        try:
            self._models = load(challenger), theirs
        except ModelError as error:
            self._refused = str(error)
        self._gate_shift = read_manifest(store, spec.name, challenger).metrics.get("shift")
        self._answered = _Tail(store, layout.prediction_log(spec.name), state.began)
        self._feedback = _Tail(store, layout.feedback_log(spec.name), state.began)
        self._rows: list[pd.DataFrame] = []
        self._outputs: tuple[list[NDArray[Any]], list[NDArray[Any]]] = [], []
        self._seen: set[str] = set()
        self._shadowed: set[str] = set()
        self._labels: dict[str, str] = {}

    def look(self, now: datetime) -> Evidence:
        """Read what has come, and sum up all that was seen."""
        if self._refused is not None:
            return Evidence(refused=self._refused)
        for table in self._answered.read():
            self._take(flatten_predictions(table))
        for table in self._feedback.read():
            ids, labels = table.column("id").to_pylist(), table.column("label").to_pylist()
            self._labels.update(zip(ids, labels, strict=True))
        seconds = (now - self._since).total_seconds()
        if not self._rows:
            return Evidence(
                weight=self._state.weight, seconds=seconds, refused=self._find_refusal()
            )
        self._rows = [pd.concat(self._rows, ignore_index=True)]
        return self._sum_up(self._rows[0], seconds)

    def _take(self, frame: pd.DataFrame) -> None:
        """Keep what a segment adds, with both models' answers to it."""
        settled = frame["_time"] >= self._since + SETTLE
        mirrored = settled & (frame["_role"] == _SHADOW) & (frame["_version"] == self._names[0])
        self._shadowed.update(frame["_id"][mirrored])
        rows = frame[frame["_role"].isin(ANSWERING_ROLES) & (frame["_time"] >= self._began)]
        rows = rows[~rows["_id"].isin(self._seen)].drop_duplicates("_id").reset_index(drop=True)
        if rows.empty:
            return
        self._seen.update(rows["_id"])
        for kept, name, model in zip(self._outputs, self._names, self._models, strict=True):
            output = answers(model, name, rows)
            classes = model.signature.classes, self._models[0].signature.classes
            kept.append(align_classes(output, *classes))
        sliced = [c for c in self._spec.rollout.slices if c in rows.columns]
        self._rows.append(rows[["_id", "_time", "_version", "_latency", *sliced]])

    def _sum_up(self, rows: pd.DataFrame, seconds: float) -> Evidence:
        mine, theirs = (np.concatenate(kept) for kept in self._outputs)
        of_stage = np.array(rows["_time"] >= self._since)
        # In the bake only what the new champion met as champion counts.
        counted = of_stage if self._state.stage == "bake" else np.ones(len(rows), dtype=bool)
        good = [np.isfinite(output).all(axis=1) for output in (mine, theirs)]
        both = counted & good[0] & good[1]
        live = self._live(rows)
        sides = [
            Side(
                rows=int(counted.sum()),
                failed=int((counted & ~fine).sum()),
                requests=len(latency),
                latency=latency,
            )
            for fine, latency in zip(good, live, strict=True)
        ]
        return Evidence(
            weight=self._state.weight,
            seconds=seconds,
            rows=self._stage_rows(rows),
            challenger=sides[0],
            champion=sides[1],
            losses=self._losses(rows, both, mine, theirs),
            shift=prediction_shift(theirs[both], mine[both]) if both.sum() > 1 else None,
            gate_shift=self._gate_shift,
            refused=self._find_refusal(),
        )

    def _stage_rows(self, rows: pd.DataFrame) -> int:
        if self._state.stage == "shadow":
            return len(self._shadowed)
        settled = rows["_time"] >= self._since + SETTLE
        return int((settled & (rows["_version"] == self._names[0])).sum())

    def _live(self, rows: pd.DataFrame) -> tuple[NDArray[Any], NDArray[Any]]:
        """Latencies of the requests that each side answered, in microseconds.

        Of the stage; in the bake the champion before is known from the time before.
        """
        requests = rows[~rows["_id"].str.replace(r"#\d+$", "", regex=True).duplicated()]
        settled = requests["_time"] >= self._since + SETTLE
        spans = settled, ~settled if self._state.stage == "bake" else settled
        mine, theirs = (
            requests["_latency"][(requests["_version"] == name) & span].to_numpy()
            for name, span in zip(self._names, spans, strict=True)
        )
        return mine, theirs

    def _losses(
        self,
        rows: pd.DataFrame,
        usable: NDArray[Any],
        mine: NDArray[Any],
        theirs: NDArray[Any],
    ) -> Losses:
        """Both models' losses on the labelled rows, in the order in which the labels came."""
        spec, place = self._spec, {name: row for row, name in enumerate(rows["_id"])}
        found = [(place[name], label) for name, label in self._labels.items() if name in place]
        found = [(row, label) for row, label in found if usable[row]]
        picked = np.array([row for row, _ in found], dtype=np.intp)
        labels = pd.Series([json.loads(label) for _, label in found], dtype=object)
        y, known = encode_known(labels, self._models[0].signature)
        picked = picked[known]
        return Losses(
            challenger=row_losses(spec.task, spec.metric, y, mine[picked]),
            champion=row_losses(spec.task, spec.metric, y, theirs[picked]),
            bound=loss_bound(spec.task, spec.metric),
            slices=slice_masks(rows.iloc[picked], spec.rollout.slices),
        )

    def _find_refusal(self) -> str | None:
        entries = read_history(self._store, self._spec.name, since=self._began - _CLOCK_SLACK)
        reasons = (
            entry.reason
            for entry in entries
            if entry.event == "model.refused" and entry.version == self._names[0]
        )
        return next(reasons, None)


class _Tail:
    """Segments of a log, each read once."""

    def __init__(self, store: Store, prefix: str, since: datetime) -> None:
        self._store = store
        self._prefix = prefix
        self._reader = SegmentReader(store)
        self._known: set[str] = set()
        self._since = self._key(since)

    def read(self) -> list[Any]:
        """Read the segments that have come since the last time.

        One that was named a little before the last one and came late, from a server whose store
        was away, is among them.
        """
        found = list_segments(self._store, self._prefix, since=self._since)
        fresh = [segment for segment in found if segment.key not in self._known]
        tables = [self._reader.read(segment) for segment in fresh]
        if fresh:
            self._known.update(segment.key for segment in fresh)
            newest = ULID.from_str(layout.segment_ulid(fresh[-1].key))
            self._since = max(self._since, self._key(newest.datetime))
        return tables

    def _key(self, moment: datetime) -> str:
        return f"{self._prefix}{ULID.from_datetime(moment - _CLOCK_SLACK)}"


def answers(model: Predictor, version: str, rows: pd.DataFrame) -> NDArray[Any]:
    """A version's answers to rows of the log, float (rows, width): its own where it gave them."""
    given = np.array(rows["_version"] == version)
    output = np.empty((len(rows), model.signature.width), dtype=np.float32)
    if given.any():
        output[given] = np.stack(list(rows["_output"][given]))
    if not given.all():
        output[~given] = _replay(model, rows[~given])
    return output


def _replay(model: Predictor, rows: pd.DataFrame) -> NDArray[Any]:
    """Answer rows; NaN for each one that the model fails on or cannot take."""
    try:
        return model.predict(*encode_frame(model.signature, rows))
    except (ModelError, RequestError):
        if len(rows) == 1:
            return np.full((1, model.signature.width), np.nan, dtype=np.float32)
        half = len(rows) // 2
        return np.concatenate([_replay(model, rows.iloc[:half]), _replay(model, rows.iloc[half:])])
