"""The loop replayed on history: the decisions of production, with a trainer given as an argument.

At each window's end the labels known by then are looked at, the policy decides, and where it asks
for a heal a candidate is trained, judged by the gate, and answers from the next window on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.backtest.baselines import score_windows
from perennial.backtest.stream import Cut, cut
from perennial.drift import (
    Check,
    Detector,
    HealRecord,
    InputVerdict,
    LossVerdict,
    Promise,
    Verdicts,
    build_detector,
    check_loss,
    decide,
    promise,
)
from perennial.evaluation.decision import GateDecision
from perennial.evaluation.gate import holdout_rows, judge
from perennial.evaluation.span import VALIDATION_WINDOWS, choose_span
from perennial.evaluation.yardstick import (
    Answering,
    Fit,
    encode_target,
    fit_yardstick,
    raw_features,
    target_classes,
    yardstick_losses,
)
from perennial.spec import PipelineSpec

_START = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Attempt:
    """A heal that was asked for at the end of window ``window`` (0-based), and what came of it."""

    window: int
    span: int
    gate: GateDecision


@dataclass(frozen=True)
class SimulatedRun:
    """What the loop would have done on a stream."""

    score: float
    window_scores: tuple[float, ...]
    outputs: NDArray[Any]
    checks: tuple[Check, ...]
    attempts: tuple[Attempt, ...]
    fits: int
    """All fits: version 1, candidates, and the quick ones that choose the span."""

    @property
    def retrains(self) -> int:
        """Candidates that took over."""
        return sum(attempt.gate.passed for attempt in self.attempts)

    @property
    def refused(self) -> int:
        """Candidates that the gate refused."""
        return len(self.attempts) - self.retrains


def simulate(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    *,
    windows: int,
    train_fraction: float = 0.2,
    label_delay_windows: int = 1,
    train: Fit | None = None,
    probe: Fit | None = None,
    watch_inputs: bool = True,
) -> SimulatedRun:
    """Replay the loop over a stream.

    Args:
        frame: the whole stream in time order, with its target.
        windows: into how many equal windows the rows after the first fraction are cut.
        label_delay_windows: windows by which labels come later than their window's end; with
            ``windows`` or more they never come.
        train: fits a candidate; None: the yardstick, HistGradientBoosting on the raw features.
        probe: fits the quick models by which the span is chosen; None: the yardstick.
        watch_inputs: False leaves the input tests out (and spares the import of alibi-detect).

    Raises:
        SourceError: too few rows for that many windows.
    """
    where = cut(
        len(frame),
        windows=windows,
        train_fraction=train_fraction,
        label_delay_windows=label_delay_windows,
    )
    replay = _Replay(frame, spec, where, train, probe, watch_inputs)
    for window in range(windows):
        replay.step(window)
    return replay.result()


@dataclass(frozen=True)
class _Version:
    model: Answering
    promised: Promise
    detector: Detector | None
    horizon: int
    """Rows before this one it was trained on or judged by."""


class _Replay:
    """A pipeline in memory: one champion, its checks, and what was asked of the gate."""

    def __init__(
        self,
        frame: pd.DataFrame,
        spec: PipelineSpec,
        where: Cut,
        train: Fit | None,
        probe: Fit | None,
        watch_inputs: bool,
    ) -> None:
        self._frame, self._spec, self._where = frame, spec, where
        self._classes = () if spec.task == "regression" else target_classes(frame[spec.target])
        self._train, self._probe = train or self._yardstick, probe
        self._watch_inputs = watch_inputs
        self._known = frame[spec.target].notna().to_numpy()
        self._window_rows = int(where.bounds[1] - where.bounds[0])
        self._outputs: list[NDArray[Any]] = []
        self._checks: list[Check] = []
        self._attempts: list[Attempt] = []
        self._fits = 0
        self._heals = HealRecord()
        self._since = 0
        self._usual_rows = 0
        self._champion, _ = self._candidate(where.first, champion=None)

    def step(self, window: int) -> None:
        """Answer a window, check it, and heal where the policy says so."""
        low, high = self._where.bounds[window], self._where.bounds[window + 1]
        self._outputs.append(self._champion.model.predict(self._frame.iloc[low:high]))
        check = self._check(window)
        self._checks.append(check)
        if check.decision.action == "heal":
            self._heal(window)
        elif self._heals.windows_since is not None:
            since = self._heals.windows_since + 1
            self._heals = self._heals.model_copy(update={"windows_since": since})

    def result(self) -> SimulatedRun:
        """Sum up what was seen."""
        outputs = np.concatenate(self._outputs)
        pooled, by_window = score_windows(
            self._frame, self._spec, self._classes, self._where, outputs
        )
        return SimulatedRun(
            score=pooled,
            window_scores=by_window,
            outputs=outputs,
            checks=tuple(self._checks),
            attempts=tuple(self._attempts),
            fits=self._fits,
        )

    def _check(self, window: int) -> Check:
        seen: dict[str, Any] = {
            "window": _name(window),
            "input": self._input_verdict(window),
            "losses": self._loss_verdicts(window),
        }
        history = [*self._checks[self._since :], Verdicts(**seen)]
        low, high = (int(bound) for bound in self._where.bounds[window : window + 2])
        return Check(
            **seen,
            pipeline=self._spec.name,
            cursor={"row": high},
            rows=high - low,
            champion=f"{1 + sum(a.gate.passed for a in self._attempts):04d}",
            decision=decide(history, self._heals, self._spec.policy),
            at=_START + timedelta(hours=window),
        )

    def _input_verdict(self, window: int) -> InputVerdict | None:
        if self._champion.detector is None:
            return None
        low, high = self._where.bounds[window], self._where.bounds[window + 1]
        return self._champion.detector.check(self._frame.iloc[low:high])

    def _loss_verdicts(self, window: int) -> tuple[LossVerdict, ...]:
        """The champion's loss on the window whose labels came with this one's end, if any."""
        labelled = window - self._where.label_delay_windows
        if labelled < 0 or self._where.bounds[labelled] < self._champion.horizon:
            return ()
        rows = self._labelled(self._where.bounds[labelled], self._where.bounds[labelled + 1])
        if not len(rows):
            return ()
        verdict = check_loss(
            _name(labelled),
            self._champion.promised,
            task=self._spec.task,
            metric=self._spec.metric,
            y=self._target(rows),
            output=self._champion.model.predict(self._frame.iloc[rows]),
            policy=self._spec.policy,
        )
        return (verdict,)

    def _heal(self, window: int) -> None:
        known_until = self._where.labelled(window + 1)
        candidate, attempt = self._candidate(known_until, champion=self._champion)
        self._attempts.append(replace(attempt, window=window))
        refused = 0 if attempt.gate.passed else self._heals.refused + 1
        self._heals = HealRecord(windows_since=1, refused=refused)
        if attempt.gate.passed:
            self._champion = candidate
            self._since = len(self._checks)

    def _candidate(self, known_until: int, champion: _Version | None) -> tuple[_Version, Attempt]:
        """Train on the labelled rows before ``known_until`` but the newest; judge on those."""
        rows = self._labelled(0, known_until)
        held = holdout_rows(len(rows), self._window_rows, self._spec.gates)
        training, newest = rows[:-held], rows[-held:]
        if champion is None:
            self._usual_rows = len(training)
        else:
            training = training[-self._choose_span(training) :]
        model = self._train(self._frame.iloc[training], self._spec)
        self._fits += 1
        y, output = self._target(newest), model.predict(self._frame.iloc[newest])
        gate = judge(
            task=self._spec.task,
            metric=self._spec.metric,
            y=y,
            candidate=output,
            champion=None if champion is None else champion.model.predict(self._frame.iloc[newest]),
            training_y=self._target(training),
            gates=self._spec.gates,
            frame=self._frame.iloc[newest],
            features=tuple(f.name for f in raw_features(self._frame, self._spec)),
        )
        version = _Version(
            model=model,
            promised=promise(
                self._spec.task,
                self._spec.metric,
                y,
                output,
                standing=None if champion is None else champion.promised,
            ),
            detector=self._detector(training),
            horizon=known_until,
        )
        return version, Attempt(window=-1, span=len(training), gate=gate)

    def _choose_span(self, training: NDArray[Any]) -> int:
        choice = choose_span(
            len(training),
            yardstick_losses(self._frame.iloc[training], self._spec, self._probe),
            usual=self._usual_rows,
            validation_rows=VALIDATION_WINDOWS * self._window_rows,
        )
        self._fits += len(choice.tried)
        return choice.rows

    def _detector(self, training: NDArray[Any]) -> Detector | None:
        if not self._watch_inputs:
            return None
        return build_detector(
            self._spec.policy,
            self._frame.iloc[training],
            raw_features(self._frame, self._spec),
            window_rows=self._window_rows,
        )

    def _yardstick(self, frame: pd.DataFrame, spec: PipelineSpec) -> Answering:
        return fit_yardstick(frame, spec, self._classes, seed=spec.model.seed)

    def _labelled(self, low: int, high: int) -> NDArray[Any]:
        return low + np.flatnonzero(self._known[low:high])

    def _target(self, rows: NDArray[Any]) -> NDArray[Any]:
        return encode_target(self._frame[self._spec.target].iloc[rows], self._spec, self._classes)


def _name(window: int) -> str:
    return f"w{window + 1:06d}"
