"""From the log to the evidence.

Both models are held against each other on the same rows: whoever did not answer a row answers it
anew here, from the features in the log and with the graph and the code of the servers. So a
comparison needs no luck in who was asked what, and a row on which the challenger would fail is seen
before any client is. What only live traffic shows (who was asked, how long it took, whether a
server can load the model) is taken from the log and the history.

All of it is read again after a restart; an observer keeps nothing that the store does not hold.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from perennial.datasets.labels import read_labels
from perennial.datasets.log import ANSWERING_ROLES
from perennial.errors import ModelError, RequestError
from perennial.evaluation.metrics import loss_bound, prediction_shift, row_losses
from perennial.evaluation.targets import align_classes, encode_known
from perennial.packaging.labels import LabelRule
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.registry import State, read_history, read_manifest
from perennial.rollout.evidence import Evidence, Losses, Side
from perennial.rollout.seen import SeenRows, hash_ids
from perennial.rollout.slices import slice_masks
from perennial.rollout.tail import CLOCK_SLACK, Feed, LogFeed
from perennial.spec import PipelineSpec
from perennial.store import Store

SETTLE = timedelta(seconds=3)
"""Servers follow a change of the state within 2 s; requests of this span tell nothing of it."""
_FRESH = timedelta(seconds=5)
"""Segments of one moment are in the store within this time, all of them or none."""
_SHADOW = "shadow"
_SIDES = "mine", "theirs"
_MINE, _THEIRS = 1, 2
"""Who answered a row: the challenger, the champion; 0 is a version before them."""


class Observer:
    """Watches one step of one rollout.

    Args:
        state: as it was when the step was found; shadow, canary or bake.
        load: gives the graph of a version.
        feed: what comes since; None: what the log in the store says.
    """

    def __init__(
        self,
        store: Store,
        spec: PipelineSpec,
        state: State,
        load: Callable[[str], Predictor],
        feed: Feed | None = None,
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
        self._feed = feed or LogFeed(store, spec.name, state.began)
        self._rows = SeenRows()
        self._shadowed: set[int] = set()
        self._labels = SeenRows()

    def look(self, now: datetime) -> Evidence:
        """Read what has come, and sum up all that was seen."""
        if self._refused is not None:
            return Evidence(refused=self._refused)
        for arrived, frame in self._feed.requests():
            self._take(frame, arrived)
        for table in self._feed.labels():
            self._take_labels(table)
        seconds = (now - self._since).total_seconds()
        if len(self._rows) == 0:
            return Evidence(
                weight=self._state.weight, seconds=seconds, refused=self._find_refusal()
            )
        return self._sum_up(now, seconds)

    def _take(self, frame: pd.DataFrame, arrived: datetime) -> None:
        """Keep what a segment adds, with both models' answers to it."""
        settled = frame["_time"] >= self._since + SETTLE
        mirrored = settled & (frame["_role"] == _SHADOW) & (frame["_version"] == self._names[0])
        self._shadowed.update(hash_ids(frame["_id"][mirrored]).tolist())
        answering = frame["_role"].isin(ANSWERING_ROLES) & (frame["_time"] >= self._began)
        rows = frame[answering].drop_duplicates("_id")
        rows = rows[self._rows.find(hash_ids(rows["_id"])) < 0].reset_index(drop=True)
        if rows.empty:
            return
        columns = {
            "time": rows["_time"].to_numpy("datetime64[us]"),
            "arrived": np.full(len(rows), _moment(arrived)),
            "by": _codes(rows["_version"], self._names),
            "latency": rows["_latency"].to_numpy(),
            # Of a request for many rows, one.
            "first": ~rows["_id"].str.replace(r"#\d+$", "", regex=True).duplicated().to_numpy(),
            "key": rows["_key"].to_numpy(),
            "weight": rows["_weight"].to_numpy(),
        }
        for side, name, model in zip(_SIDES, self._names, self._models, strict=True):
            output = answers(model, name, rows)
            classes = model.signature.classes, self._models[0].signature.classes
            columns[side] = align_classes(output, *classes)
        sliced = rows.reindex(columns=self._sliced)
        columns |= {f"slice {name}": sliced[name].to_numpy() for name in sliced}
        self._rows.add(hash_ids(rows["_id"]), columns)

    def _take_labels(self, table: pa.Table) -> None:
        """Keep the truths of a segment; NaN where one cannot be used, or the challenger has no
        terms for it.

        A later label for a row takes the place of the earlier one.
        """
        signature = self._models[0].signature
        labels, _ = read_labels(table.column("label").to_pylist(), LabelRule.of(signature))
        values = pd.Series(labels, dtype=object)
        encoded, known = encode_known(values, signature)
        truth = np.full(len(values), np.nan)
        truth[known] = encoded
        ids = hash_ids(table.column("id").to_pylist())
        newest = ~pd.Index(ids).duplicated(keep="last")
        ids, truth = ids[newest], truth[newest]
        place = self._labels.find(ids)
        told = place >= 0
        if told.any():
            self._labels["truth"][place[told]] = truth[told]
        self._labels.add(ids[~told], {"truth": truth[~told]})

    @property
    def _sliced(self) -> list[str]:
        signature = self._models[0].signature
        known = {*(feature.name for feature in signature.features), *signature.context}
        return [name for name in self._spec.rollout.slices if name in known]

    def _sum_up(self, now: datetime, seconds: float) -> Evidence:
        rows = self._rows
        mine, theirs = (rows[side] for side in _SIDES)
        # In the bake only what the new champion met as champion counts.
        counted = np.ones(len(rows), dtype=bool)
        if self._state.stage == "bake":
            counted = rows["time"] >= _moment(self._since)
        good = [np.isfinite(output).all(axis=1) for output in (mine, theirs)]
        both = counted & good[0] & good[1]
        sides = [
            Side(int(counted.sum()), int((counted & ~fine).sum()), keys, latency)
            for fine, keys, latency in zip(
                good, self._count_keys(now), self._latencies(), strict=True
            )
        ]
        return Evidence(
            weight=self._state.weight,
            seconds=seconds,
            rows=self._stage_rows(),
            challenger=sides[0],
            champion=sides[1],
            losses=self._losses(both),
            shift=prediction_shift(theirs[both], mine[both]) if both.sum() > 1 else None,
            gate_shift=self._gate_shift,
            refused=self._find_refusal(),
        )

    def _of_stage(self) -> NDArray[np.bool_]:
        """Which rows were answered in the present stage and weight, whenever that reached a server.

        In the canary the log says by which weight a request was routed; else time has to do.
        """
        rows = self._rows
        chosen: NDArray[np.bool_] = (
            rows["weight"] == self._state.weight
            if self._state.stage == "canary"
            else rows["time"] >= _moment(self._since + SETTLE)
        )
        return chosen

    def _stage_rows(self) -> int:
        if self._state.stage == "shadow":
            return len(self._shadowed)
        return int((self._of_stage() & (self._rows["by"] == _MINE)).sum())

    def _latencies(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Latencies of the requests that each side answered, in microseconds.

        Of the stage; in the bake the champion before is known from the time before.
        """
        rows, now = self._rows, self._of_stage()
        spans = now, ~now if self._state.stage == "bake" else now
        mine, theirs = (
            rows["latency"][rows["first"] & (rows["by"] == by) & span]
            for by, span in zip((_MINE, _THEIRS), spans, strict=True)
        )
        return mine, theirs

    def _count_keys(self, now: datetime) -> tuple[int, int]:
        """Routing keys of the stage by who answered their first request.

        Where the two models differ in their signature their rows lie in segments of their own, and
        one side's may come a little before the other's. So rows count up to the moment to which
        both sides are there, and later ones when their segment is not fresh any more.
        """
        rows = self._rows
        live = self._of_stage() & rows["first"]
        ends = [rows["time"][live & (rows["by"] == by)] for by in (_MINE, _THEIRS)]
        complete = rows["arrived"] <= _moment(now - _FRESH)
        if len(ends[0]) and len(ends[1]):
            complete |= rows["time"] <= min(ends[0].max(), ends[1].max())
        live &= complete
        key, by = rows["key"][live], rows["by"][live]
        keyless = key == 0
        _, first = np.unique(key[~keyless], return_index=True)
        by = np.concatenate([by[keyless], by[~keyless][first]])
        return int((by == _MINE).sum()), int((by == _THEIRS).sum())

    def _losses(self, usable: NDArray[np.bool_]) -> Losses:
        """Both models' losses on the labelled rows, in the order in which the labels came."""
        spec, rows = self._spec, self._rows
        if len(self._labels) == 0:
            return Losses(bound=loss_bound(spec.task, spec.metric))
        truth = self._labels["truth"]
        picked = rows.find(self._labels["id"])
        is_used = (picked >= 0) & usable[picked] & np.isfinite(truth)
        picked, y = picked[is_used], truth[is_used]
        sliced = pd.DataFrame({name: rows[f"slice {name}"][picked] for name in self._sliced})
        mine, theirs = (
            row_losses(spec.task, spec.metric, y, rows[side][picked]) for side in _SIDES
        )
        return Losses(
            challenger=mine,
            champion=theirs,
            bound=loss_bound(spec.task, spec.metric),
            slices=slice_masks(sliced, self._sliced),
        )

    def _find_refusal(self) -> str | None:
        entries = read_history(self._store, self._spec.name, since=self._began - CLOCK_SLACK)
        reasons = (
            entry.reason
            for entry in entries
            if entry.event == "model.refused" and entry.version == self._names[0]
        )
        return next(reasons, None)


def _codes(versions: pd.Series, names: tuple[str, str]) -> NDArray[np.int8]:
    by = np.select([versions == name for name in names], [_MINE, _THEIRS])
    return by.astype(np.int8)


def _moment(time: datetime) -> np.datetime64:
    """As the log has it: UTC, without saying so."""
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "us")


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
