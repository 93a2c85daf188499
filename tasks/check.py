"""Judge the windows that came since the last check, and ask for a heal until one has answered."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from perennial.datasets.snapshot import find_snapshot
from perennial.datasets.source import read_source
from perennial.datasets.stream import (
    Cursor,
    Window,
    cut_windows,
    labels_for,
    read_span,
)
from perennial.drift import build_detector, build_label_detector
from perennial.drift.detector import InputVerdict
from perennial.drift.loss import LossVerdict, check_loss
from perennial.drift.policy import Decision, HealRecord, Verdicts, decide
from perennial.drift.record import Check
from perennial.drift.why import Explanation, explain
from perennial.errors import Conflict
from perennial.evaluation.metrics import row_losses
from perennial.evaluation.targets import encode_known
from perennial.registry import (
    Declaration,
    Manifest,
    State,
    failures_in_a_row,
    read_file,
    read_history,
    read_state,
)
from perennial.registry.versions import REFERENCE_FILE
from perennial.rollout.stages import in_flight
from perennial.spec import PipelineSpec
from perennial.store import layout
from perennial.store.lease import utc_now
from tasks import events
from tasks.artifacts import publish, table
from tasks.connection import fetch, store
from tasks.drift_artifact import publish_drift
from tasks.step import step
from tasks.versions import answer, find_champion, load_version, metrics_of

ENOUGH_LABELS = 0.8
"""A window's loss is judged once this share of its labels has come, or later labels have."""
MIN_LABELS = 20
_PENDING_WINDOWS = 50
_REMEMBERED = 60


class PendingWindow(BaseModel):
    """A window whose labels have not come yet."""

    model_config = ConfigDict(frozen=True)

    window: str
    start: Cursor
    end: Cursor


class Place(BaseModel):
    """Where the monitor stands; the ``cursor`` of a `Check`."""

    model_config = ConfigDict(frozen=True)

    end: Cursor
    pending: tuple[PendingWindow, ...] = ()


class CheckRef(BaseModel):
    """A check by its key, and what it came to."""

    key: str
    window: str
    decision: Decision


@step(retries=2, retry_delay_seconds=2)
def check_windows(declaration: Declaration) -> list[CheckRef]:
    """Judge every full window behind the last check; each verdict is written before the next."""
    name = declaration.spec.name
    champion = find_champion(name)
    if champion is None:
        get_run_logger().info("%s has no version yet: there is nothing to judge", name)
        return []
    watch = Watch(declaration, champion)
    done = []
    for check in watch.checks():
        ref = _write(check)
        if ref is None:
            break
        done.append(ref)
    if done:
        _publish(name, watch.history)
        publish_drift(name, watch.history[-len(done) :])
    return done


@step(retries=3, retry_delay_seconds=2)
def repeat_requests(declaration: Declaration) -> str | None:
    """Send the events that nobody has answered: a confirmed drift, a version that waits.

    An event may be lost; what it tells stands in the store, so it is sent at each check until the
    state says that it was answered.

    Returns:
        Why a heal is being asked for, or None.
    """
    name = declaration.spec.name
    state = read_state(store(), name).state
    if state.challenger is not None or in_flight(state):
        events.emit(events.ROLLOUT_CONTINUES, name, {"version": state.challenger})
    confirmed = unanswered(name, state)
    if confirmed is None:
        return None
    events.emit(
        events.DRIFT_CONFIRMED,
        name,
        {
            "window": confirmed.window,
            "reason": confirmed.decision.reason,
            "verdict": layout.check(name, confirmed.window),
        },
    )
    return confirmed.decision.reason


def unanswered(pipeline: str, state: State) -> Check | None:
    """The newest check that asks for a heal which no retrain has answered."""
    after = layout.check(pipeline, state.answered) if state.answered is not None else None
    keys = [info.key for info in store().scan(layout.checks(pipeline), after=after)]
    for key in reversed(keys[-_REMEMBERED:]):
        check = _read(key)
        if check.decision.action == "heal":
            return check
    return None


class Watch:
    """The monitor's view of one champion: its reference, its promise, its verdicts so far."""

    def __init__(self, declaration: Declaration, champion: Manifest) -> None:
        self._spec = declaration.spec
        self._champion = champion
        self._source = read_source(self._spec, declaration.path, fetch=fetch)
        keys = [info.key for info in store().scan(layout.checks(self._spec.name))]
        recent = [_read(key) for key in keys[-_REMEMBERED:]]
        self._last = recent[-1] if recent else None
        self.history = [check for check in recent if check.champion == champion.version]

    def checks(self) -> Iterator[Check]:
        """Yield a check for each full window that came since the last one."""
        place = self._place()
        windows = cut_windows(store(), self._spec, self._source, place.end)
        first = next(windows, None)
        if first is None:
            return
        number = _number(self._last.window) if self._last is not None else 0
        judge = Judge(self._spec, self._champion, len(first.frame))
        for window in chain([first], windows):
            number += 1
            name = f"w{number:06d}"
            pending = (*place.pending, PendingWindow(window=name, start=place.end, end=window.end))
            losses, labels, left = judge.losses(self._source, pending, self._labels_seen())
            place = Place(end=window.end, pending=left[-_PENDING_WINDOWS:])
            verdict = judge.inputs(window, [c.input for c in self.history if c.input is not None])
            seen = Verdicts(window=name, input=verdict, losses=losses)
            check = Check(
                **dict(seen),
                pipeline=self._spec.name,
                cursor=place.model_dump(mode="json"),
                rows=len(window.frame),
                champion=self._champion.version,
                decision=self._decide(seen),
                labels=labels,
                why=judge.explain(window, [*self.history, seen]) if verdict.confirmed else None,
                at=utc_now(),
            )
            self.history.append(check)
            yield check

    def _place(self) -> Place:
        """Where the last check ended; rows of the source that the champion has seen are behind."""
        place = Place.model_validate(self._last.cursor) if self._last else Place(end=Cursor())
        snapshot = find_snapshot(store(), self._spec.name, self._champion.lineage.snapshot)
        rows = max(place.end.source_rows, snapshot.source_rows)
        return place.model_copy(update={"end": place.end.model_copy(update={"source_rows": rows})})

    def _labels_seen(self) -> list[InputVerdict]:
        return [verdict for check in self.history for verdict in check.labels]

    def _decide(self, seen: Verdicts) -> Decision:
        name = self._spec.name
        state = read_state(store(), name).state
        waiting = unanswered(name, state)
        if waiting is not None:
            reason = f"the heal that window {waiting.window} asked for has not been answered yet"
            return Decision(action="keep", ground="none", reason=reason)
        if state.challenger is not None:
            reason = f"{state.challenger} is on its way to take over ({state.stage})"
            return Decision(action="keep", ground="none", reason=reason)
        since = (
            _number(seen.window) - _number(state.answered) if state.answered is not None else None
        )
        failures = failures_in_a_row(read_history(store(), name))
        heals = HealRecord(windows_since=since, refused=failures)
        return decide([*self.history, seen], heals, self._spec.policy)


class Judge:
    """Measures windows of about ``rows`` rows against one champion."""

    def __init__(self, spec: PipelineSpec, champion: Manifest, rows: int) -> None:
        self._spec = spec
        self._predictor = load_version(champion)
        self._metrics = metrics_of(champion)
        self._reference = pd.read_parquet(io.BytesIO(read_file(store(), champion, REFERENCE_FILE)))
        # The reference is thinned out: as many of its rows make up a window's span as are left.
        share = len(self._reference) / max(self._metrics.trained_rows, 1)
        self._detector = build_detector(
            spec.policy,
            self._reference,
            self._predictor.signature.features,
            window_rows=max(1, round(rows * share)),
            output=answer(self._predictor, self._reference),
        )
        self._reference_y = encode_known(self._reference[spec.target], self._predictor.signature)
        self._label_detector = build_label_detector(
            spec.policy,
            self._series(self._reference_y[0]),
            numeric=spec.task == "regression",
            window_rows=max(1, round(rows * share)),
        )

    def inputs(self, window: Window, history: Sequence[InputVerdict]) -> InputVerdict:
        """Hold a window's features and the champion's answers to it against its reference.

        Args:
            history: verdicts on the windows since the champion took over.
        """
        output = answer(self._predictor, window.frame)
        return self._detector.check(window.frame, output=output, history=history)

    def explain(self, window: Window, seen: Sequence[Verdicts]) -> Explanation:
        """Say what is behind the shifts that the newest verdict confirms.

        Args:
            seen: what was learned in the windows since the champion took over, this one the last.
        """
        ratios = [verdict.ratio for look in seen for verdict in look.losses]
        return explain(
            [(look.window, look.input) for look in seen if look.input is not None],
            self._reference,
            window.frame,
            self._predictor.signature.features,
            losses=self._reference_losses(),
            ratio=ratios[-1] if ratios else None,
        )

    def _reference_losses(self) -> NDArray[Any]:
        """The champion's loss on each row of its reference (rows,), NaN where it is unknown."""
        losses = np.full(len(self._reference), np.nan)
        y, known = encode_known(self._reference[self._spec.target], self._predictor.signature)
        output = answer(self._predictor, self._reference[known])
        losses[known] = row_losses(self._spec.task, self._spec.metric, y, output)
        return losses

    def losses(
        self,
        source: pd.DataFrame,
        pending: tuple[PendingWindow, ...],
        labels_seen: Sequence[InputVerdict],
    ) -> tuple[tuple[LossVerdict, ...], tuple[InputVerdict, ...], tuple[PendingWindow, ...]]:
        """Judge the loss of windows whose labels have come, and the labels themselves.

        Args:
            labels_seen: verdicts on the labels of earlier windows.

        Returns:
            The verdicts, and the windows that still wait for their labels. A window whose labels
            are mostly missing while those of a later one have come is judged by what it has, or
            left out where that is next to nothing.
        """
        known = [self._labels(source, window) for window in pending]
        come = [len(y) >= ENOUGH_LABELS * rows for y, _, rows in known]
        newest = max((i for i, is_there in enumerate(come) if is_there), default=-1)
        judged = [
            (window.window, y, output)
            for window, (y, output, _) in zip(pending[: newest + 1], known, strict=False)
            if len(y) >= MIN_LABELS
        ]
        losses = [
            check_loss(
                name,
                self._metrics.promise,
                task=self._spec.task,
                metric=self._spec.metric,
                y=y,
                output=output,
                policy=self._spec.policy,
            )
            for name, y, output in judged
        ]
        labels: list[InputVerdict] = []
        for _, y, _ in judged:
            truth = self._series(y).to_frame()
            labels.append(self._label_detector.check(truth, history=[*labels_seen, *labels]))
        return tuple(losses), tuple(labels), pending[newest + 1 :]

    def _series(self, y: NDArray[Any]) -> pd.Series:
        """Truth as the label detector takes it: numbers, or names of classes."""
        classes = self._predictor.signature.classes
        values = y if self._spec.task == "regression" else [classes[int(i)] for i in y]
        return pd.Series(values, name=self._spec.target)

    def _labels(
        self, source: pd.DataFrame, window: PendingWindow
    ) -> tuple[NDArray[Any], NDArray[Any], int]:
        """Truth and the champion's answers on a window's labelled rows, and how many rows it has.

        The answers are computed anew, so that rows which an earlier champion answered tell about
        this one; the graph and the code are those of the server.
        """
        frame = read_span(store(), source, window.start, window.end)
        truth = labels_for(store(), self._spec.name, frame, self._spec.target)
        y, known = encode_known(truth, self._predictor.signature)
        return y, answer(self._predictor, frame[known]), len(frame)


def _write(check: Check) -> CheckRef | None:
    """Write a check once; None where another monitor judged this window first."""
    key = layout.check(check.pipeline, check.window)
    try:
        store().put_json(key, check, if_absent=True)
    except Conflict:
        get_run_logger().info("%s was judged by another run at the same time", check.window)
        return None
    get_run_logger().info("%s: %s (%s)", check.window, check.decision.action, check.decision.reason)
    return CheckRef(key=key, window=check.window, decision=check.decision)


def _read(key: str) -> Check:
    return Check.model_validate_json(store().get(key).data)


def _number(window: str) -> int:
    return int(window.removeprefix("w"))


def _shifts(check: Check) -> list[InputVerdict]:
    return [*([] if check.input is None else [check.input]), *check.labels]


def _publish(pipeline: str, history: list[Check]) -> None:
    rows = [
        (
            check.window,
            check.rows,
            ", ".join(v.label for seen in _shifts(check) for v in seen.culprits),
            ", ".join(f"{v.window}: {v.ratio:.2f}" for v in check.losses),
            check.decision.action,
            check.decision.reason,
        )
        for check in reversed(history)
    ]
    header = ["window", "rows", "shifted", "loss over promise", "decision", "reason"]
    publish("monitor", pipeline, table(header, rows), description=history[-1].window)
