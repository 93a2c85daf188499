"""The loop replayed on history: the decisions of production, on models fitted in memory.

At each window's end the labels known by then are looked at, the policy decides, and what it asks
for answers from the next window on. Nothing comes from the future: a window is answered by what
stood before it, and a head or a base is tried on rows that it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.backtest.baselines import score_windows
from perennial.backtest.bases import Fit, Rows, Stream, fit_booster
from perennial.backtest.standing import Standing
from perennial.backtest.stream import Cut
from perennial.backtest.trainer import Trainer
from perennial.datasets.dates import dates_of
from perennial.drift import (
    Check,
    Decision,
    HealRecord,
    InputVerdict,
    LossVerdict,
    Verdicts,
    check_loss,
    decide,
)
from perennial.evaluation.decision import GateDecision
from perennial.evaluation.division import head_span
from perennial.evaluation.mixing import HeadTrial, Mixture
from perennial.loop.meter import Meter
from perennial.spec import Costs, Cure, PipelineSpec
from perennial.store import layout
from perennial.training.heads import Head, mix_heads

_START = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Attempt:
    """A heal that was asked for at the end of window ``window`` (0-based), and what came of it."""

    window: int
    depth: Cure
    rows: int
    """That it was fitted on."""
    gate: GateDecision | None
    """None for heads, which the trials of the decision have judged."""

    @property
    def took_over(self) -> bool:
        """Whether it answered from the next window on."""
        return self.gate is None or self.gate.passed


@dataclass(frozen=True)
class ReplayedRun:
    """What the loop would have done on a stream."""

    score: float
    window_scores: tuple[float, ...]
    outputs: NDArray[Any]
    checks: tuple[Check, ...]
    attempts: tuple[Attempt, ...]
    fits: int
    """All fits: bases, refused ones too, and heads, also those that were only tried."""
    cpu_seconds: float
    """CPU time of the fits and the trials."""

    def heals(self, depth: Cure) -> int:
        """How many heals of a depth took over."""
        return sum(a.took_over for a in self.attempts if a.depth == depth)

    @property
    def refused(self) -> int:
        """Candidates that the gate refused."""
        return sum(not attempt.took_over for attempt in self.attempts)


def replay(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    where: Cut,
    *,
    fit: Fit = fit_booster,
    watch_inputs: bool = True,
) -> ReplayedRun:
    """Replay the loop over a stream.

    Args:
        frame: the whole stream in time order, with its target.
        where: how it is cut, and when its labels come.
        fit: fits a base.
        watch_inputs: False leaves the input tests out.

    Raises:
        TrainingError: there is no feature.
    """
    run = _Replay(Stream(frame, spec), where, fit, watch_inputs)
    for window in range(where.windows):
        run.step(window)
    return run.result()


class _Replay:
    """A pipeline in memory."""

    def __init__(self, stream: Stream, where: Cut, fit: Fit, watch_inputs: bool) -> None:
        self._stream, self._spec, self._where = stream, stream.spec, where
        self._served = np.zeros((len(stream.frame), stream.width))
        self._checks: list[Check] = []
        self._attempts: list[Attempt] = []
        self._heals = HealRecord()
        self._meter = Meter()
        self._trainer = Trainer(stream, where, fit, watch_inputs, self._meter)
        self._stand(self._trainer.first_version())
        self._heals = HealRecord(costs=self._costs("retrain", before=0.0))

    def step(self, window: int) -> None:
        """Answer a window, check it, and heal where the policy says so."""
        rows = np.arange(*self._where.rows(window))
        self._served[rows] = self._standing.answer(rows, self._standing.head)
        self._heals = _one_more_window(self._heals)
        check = self._check(window)
        self._checks.append(check)
        self._standing.checks.append(check)
        last = window + 1 == self._where.windows
        if not last and check.decision.action == "heal":
            self._heal(window, check.decision)
        if not last:
            self._prepare_trial(window + 1)

    def result(self) -> ReplayedRun:
        """Sum up what was seen."""
        outputs = self._served[self._where.first :]
        pooled, by_window = score_windows(
            self._stream.frame, self._spec, self._stream.classes, self._where, outputs
        )
        return ReplayedRun(
            score=pooled,
            window_scores=by_window,
            outputs=outputs,
            checks=tuple(self._checks),
            attempts=tuple(self._attempts),
            fits=self._meter.fits,
            cpu_seconds=self._meter.cpu_seconds,
        )

    # What a window shows

    def _check(self, window: int) -> Check:
        labelled = window - self._where.label_delay_windows
        low, high = self._where.rows(window)
        seen = Verdicts(
            window=_name(window),
            dates=dates_of(self._stream.frame.iloc[low:high], self._spec.time),
            input=self._input_verdict(window),
            losses=self._loss_verdicts(labelled),
            trials=self._trials(labelled),
            unknown=self._unknown(labelled),
        )
        history = [*self._standing.before(), *self._standing.checks, seen]
        heals = self._heals.model_copy(update={"headed": self._standing.head is not None})
        return Check(
            **dict(seen),
            pipeline=self._spec.name,
            cursor={"row": high},
            rows=high - low,
            champion=f"{1 + sum(a.took_over for a in self._attempts):04d}",
            decision=decide(history, heals, self._spec.policy),
            at=_START + timedelta(hours=window),
        )

    def _input_verdict(self, window: int) -> InputVerdict | None:
        if self._standing.detector is None:
            return None
        low, high = self._where.rows(window)
        return self._standing.detector.check(
            self._stream.frame.iloc[low:high],
            output=self._standing.output(np.arange(low, high)),
            history=[c.input for c in self._standing.checks if c.input is not None],
        )

    def _loss_verdicts(self, window: int) -> tuple[LossVerdict, ...]:
        """The loss of what was served in a window whose labels have just come."""
        rows = self._labelled_rows(window)
        if not len(rows):
            return ()
        verdict = check_loss(
            _name(window),
            self._standing.promised,
            task=self._spec.task,
            metric=self._spec.metric,
            y=self._stream.y[rows],
            output=self._served[rows],
            policy=self._spec.policy,
        )
        return (verdict,)

    def _unknown(self, window: int) -> float:
        """Share of the rows whose labels have just come that are of classes new to the base."""
        rows = self._labelled_rows(window)
        if self._spec.task == "regression" or not len(rows):
            return 0.0
        return float(1 - np.isin(self._stream.y[rows], self._standing.base.seen).mean())

    def _trials(self, window: int) -> tuple[HeadTrial, ...]:
        """Try the heads that were ready before a window, now that its labels have come."""
        heads, mixture = self._ready.pop(window, (None, Mixture()))
        if heads is None:
            return ()
        rows = self._labelled_rows(window)
        trial = self._standing.try_heads(heads, mixture, rows, _name(window))
        return () if trial is None else (trial,)

    def _prepare_trial(self, window: int) -> None:
        """Fit the heads that could answer a window; they are tried once its labels have come."""
        heads = self._standing.heads(self._rows_for_heads(window))
        if heads is not None:
            self._ready[window] = heads, self._standing.earned()

    def _rows_for_heads(self, done: int) -> Rows:
        """The newest rows labelled once ``done`` windows are over."""
        known_until = self._where.labelled(done)
        low = max(self._standing.fresh_from, known_until - head_span(self._where.window_rows))
        return self._stream.labelled(low, known_until)

    def _labelled_rows(self, window: int) -> Rows:
        if window < 0:
            return np.empty(0, dtype=np.intp)
        return self._stream.labelled(*self._where.rows(window))

    # What is done about it

    def _heal(self, window: int, decision: Decision) -> None:
        assert decision.depth is not None
        if decision.depth == "retrain":
            self._retrain(window)
            return
        rows, before = self._rows_for_heads(window + 1), self._meter.cpu_seconds
        if decision.depth == "unhead":
            self._standing.head, self._standing.head_knows = None, 0
        else:
            assert decision.mixture is not None
            heads = self._standing.heads(rows)
            if heads is None:
                return
            self._standing.head = mix_heads(decision.mixture, heads)
            self._standing.head_knows = int(rows[-1]) + 1
        self._attempts.append(Attempt(window, decision.depth, len(rows), gate=None))
        costs = self._costs(decision.depth, before)
        self._heals = self._heals.model_copy(update={"windows_since": 0, "costs": costs})

    def _retrain(self, window: int) -> None:
        rows = self._stream.labelled(0, self._where.labelled(window + 1))
        before = self._meter.cpu_seconds
        candidate = self._trainer.retrain(self._standing, rows, _name(window))
        if isinstance(candidate, GateDecision):
            # Nothing could be judged: that is no failure, by which waits would grow.
            self._attempts.append(Attempt(window, "retrain", 0, candidate))
            self._heals = self._heals.model_copy(update={"windows_since": 0})
            return
        gate = candidate.gate
        self._attempts.append(Attempt(window, "retrain", candidate.rows, gate))
        refused = 0 if gate.passed else self._heals.refused + 1
        costs = self._costs("retrain", before)
        self._heals = HealRecord(windows_since=0, retrain_windows=0, refused=refused, costs=costs)
        if gate.passed:
            self._stand(candidate.standing)

    def _costs(self, depth: Cure, before: float) -> Costs:
        """What heals of each depth cost, the last one of this depth since the meter stood there."""
        costs, taken = self._heals.costs, self._meter.cpu_seconds - before
        return costs if depth == "unhead" else costs.model_copy(update={depth: taken})

    def _stand(self, standing: Standing) -> None:
        self._standing = standing
        # Heads by the window that they would first answer, kept until its labels have come.
        self._ready: dict[int, tuple[tuple[Head, ...], Mixture]] = {}


def _one_more_window(heals: HealRecord) -> HealRecord:
    def more(count: int | None) -> int | None:
        return None if count is None else count + 1

    return heals.model_copy(
        update={
            "windows_since": more(heals.windows_since),
            "retrain_windows": more(heals.retrain_windows),
        }
    )


def _name(window: int) -> str:
    return layout.window_name(window + 1)
