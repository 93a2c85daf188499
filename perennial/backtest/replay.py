"""The loop replayed on history: the decisions of production, on models fitted in memory.

At each window's end the labels known by then are looked at, the policy decides, and what it asks
for answers from the next window on. Nothing comes from the future: a window is answered by what
stood before it, and a head or a base is tried on rows that it has not seen.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.backtest.baselines import score_windows
from perennial.backtest.bases import Base, Fit, Rows, Stream, fit_base, fit_booster
from perennial.backtest.stream import Cut
from perennial.drift import (
    Check,
    Decision,
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
from perennial.evaluation.mixing import HeadTrial, Mixture, mix, try_heads
from perennial.evaluation.span import choose_span
from perennial.evaluation.yardstick import raw_features
from perennial.spec import Cure, PipelineSpec
from perennial.threads import one_thread
from perennial.training.heads import Head, fit_heads, mix_heads
from perennial.training.heads.heal import MIN_HEAD_ROWS, head_span, held_rows, is_stale
from perennial.training.heads.spans import Spans
from perennial.training.hist_gradient_boosting import Growth

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
    """CPU time of the fits, of trials and of gates."""

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


@dataclass(eq=False)
class _Standing:
    """A base, the heads on it, and what is known of them."""

    base: Base
    promised: Promise
    detector: Detector | None
    fresh_from: int
    """The first row that the base was not trained on."""
    outputs: NDArray[np.float32]
    """The base's, of the stream's rows as far as they were needed; NaN before that."""
    head: Head | None = None
    checks: list[Check] = field(default_factory=list)
    trials: list[HeadTrial] = field(default_factory=list)
    """Of the time before it took over."""
    fitted: dict[int, tuple[Head, ...]] = field(default_factory=dict)
    """Heads by the window that they would first answer, kept until its labels have come."""
    newest: tuple[Rows, tuple[Head, ...]] | None = None
    """The heads that were fitted last, and on what."""
    asked: dict[int, Mixture] = field(default_factory=dict)


class _Replay:
    """A pipeline in memory."""

    def __init__(self, stream: Stream, where: Cut, fit: Fit, watch_inputs: bool) -> None:
        self._stream, self._spec, self._where, self._fit = stream, stream.spec, where, fit
        self._watch_inputs = watch_inputs
        self._window_rows = int(where.bounds[1] - where.bounds[0])
        self._served = np.zeros((len(stream.frame), stream.width))
        self._checks: list[Check] = []
        self._attempts: list[Attempt] = []
        self._fits, self._cpu = 0, 0.0
        self._heals = HealRecord()
        self._usual_rows = 0
        self._standing = self._first_version()

    def step(self, window: int) -> None:
        """Answer a window, check it, and heal where the policy says so."""
        low, high = self._bounds(window)
        self._served[low:high] = self._answer(self._standing, low, high)
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
            fits=self._fits,
            cpu_seconds=self._cpu,
        )

    def _bounds(self, window: int) -> tuple[int, int]:
        return int(self._where.bounds[window]), int(self._where.bounds[window + 1])

    def _answer(self, standing: _Standing, low: int, high: int) -> NDArray[Any]:
        output = self._base_output(standing, np.arange(low, high))
        if standing.head is not None:
            output = self._head_output(standing.head, np.arange(low, high), output)
        return standing.base.spread(output, self._stream.width)

    def _base_output(self, standing: _Standing, rows: Rows) -> NDArray[np.float32]:
        missing = rows[np.isnan(standing.outputs[rows]).any(axis=1)]
        if len(missing):
            standing.outputs[missing] = standing.base.output(self._stream, missing)
        return standing.outputs[rows]

    def _head_output(self, head: Head, rows: Rows, base_output: NDArray[Any]) -> NDArray[Any]:
        numeric, categorical = (columns[rows] for columns in self._stream.inputs)
        return head.predict(numeric, categorical, base_output)

    # What a window shows

    def _check(self, window: int) -> Check:
        labelled = window - self._where.label_delay_windows
        seen = Verdicts(
            window=_name(window),
            input=self._input_verdict(window),
            losses=self._loss_verdicts(labelled),
            trials=self._trials(labelled),
            unknown=self._unknown(labelled),
        )
        history = [*self._before(), *self._standing.checks, seen]
        low, high = self._bounds(window)
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

    def _before(self) -> list[Verdicts]:
        """The trials by which a retrained base was judged stand before its first window."""
        trials = self._standing.trials
        return [Verdicts(window=trials[-1].window, trials=tuple(trials))] if trials else []

    def _input_verdict(self, window: int) -> InputVerdict | None:
        if self._standing.detector is None:
            return None
        low, high = self._bounds(window)
        return self._standing.detector.check(
            self._stream.frame.iloc[low:high],
            output=self._base_output(self._standing, np.arange(low, high)),
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
        heads = self._standing.fitted.pop(window, None)
        mixture = self._standing.asked.pop(window, Mixture())
        if heads is None:
            return ()
        with self._counted():
            trial = self._try(self._standing, heads, mixture, self._labelled_rows(window), window)
        return () if trial is None else (trial,)

    def _try(
        self,
        standing: _Standing,
        heads: tuple[Head, ...],
        mixture: Mixture,
        rows: Rows,
        window: int,
    ) -> HeadTrial | None:
        data, kept = standing.base.known_to_it(self._stream.take(rows))
        if not len(data):
            return None
        rows = rows[kept]
        base = self._base_output(standing, rows)
        outputs = [self._head_output(head, rows, base) for head in heads]
        spec = self._spec
        name = _name(window)
        return try_heads(name, spec.task, data.y, base, outputs, mixture, metric=spec.metric)

    def _prepare_trial(self, window: int) -> None:
        """Fit the heads that could answer a window; they are tried once its labels have come."""
        standing = self._standing
        rows = self._rows_for_heads(standing, self._where.labelled(window))
        heads = self._heads(standing, rows)
        if heads is not None:
            standing.fitted[window] = heads
            history = [*self._before(), *standing.checks]
            standing.asked[window] = mix([trial for seen in history for trial in seen.trials])

    def _rows_for_heads(self, standing: _Standing, known_until: int) -> Rows:
        low = max(standing.fresh_from, known_until - head_span(self._window_rows))
        return self._stream.labelled(low, known_until)

    def _heads(self, standing: _Standing, rows: Rows) -> tuple[Head, ...] | None:
        """Fit heads, unless the last ones were fitted on nearly the same rows."""
        if standing.newest is not None and not is_stale(standing.newest[0], rows):
            return standing.newest[1]
        data, kept = standing.base.known_to_it(self._stream.take(rows))
        if len(data) < MIN_HEAD_ROWS:
            return None
        output = self._base_output(standing, rows[kept])
        with self._counted():
            heads = fit_heads(data, output, seed=self._spec.model.seed)
        self._fits += 1
        standing.newest = rows, heads
        return heads

    # What is done about it

    def _heal(self, window: int, decision: Decision) -> None:
        assert decision.depth is not None
        if decision.depth == "retrain":
            self._retrain(window)
            return
        standing = self._standing
        rows = self._rows_for_heads(standing, self._where.labelled(window + 1))
        if decision.depth == "unhead":
            standing.head = None
        else:
            assert decision.mixture is not None
            heads = self._heads(standing, rows)
            if heads is None:
                return
            standing.head = mix_heads(decision.mixture, heads)
        self._attempts.append(Attempt(window, decision.depth, len(rows), gate=None))
        self._heals = self._heals.model_copy(update={"windows_since": 0})

    def _retrain(self, window: int) -> None:
        rows = self._stream.labelled(0, self._where.labelled(window + 1))
        held = held_rows(len(rows), self._window_rows)
        training, trial_rows, judged = rows[:-held], rows[-held : -held // 2], rows[-held // 2 :]
        span, begun = self._choose_span(training, trial_rows, judged)
        training = training[-span:]
        with self._counted():
            base = self._fit_base(training, begun)
        candidate = self._new(base, training)
        gate = self._judge(candidate, trial_rows, judged, training)
        self._attempts.append(Attempt(window, "retrain", len(training), gate))
        refused = 0 if gate.passed else self._heals.refused + 1
        self._heals = HealRecord(windows_since=0, retrain_windows=0, refused=refused)
        if gate.passed:
            self._put_heads_on(candidate, trial_rows, judged, window)
            self._standing = candidate

    def _choose_span(
        self, training: Rows, trial_rows: Rows, judged: Rows
    ) -> tuple[int, Growth | None]:
        with self._counted():
            spans = Spans(
                *(self._stream.take(rows) for rows in (training, trial_rows, judged)),
                seed=self._spec.model.seed,
            )
            choice = choose_span(len(training), spans.losses, usual=self._usual_rows)
        self._fits += len(choice.tried)
        return choice.rows, spans.begun.get(choice.rows)

    def _judge(
        self, candidate: _Standing, trial_rows: Rows, judged: Rows, training: Rows
    ) -> GateDecision:
        """Hold both bases against one another, each with a head of the same rows on it."""
        answers = []
        for standing in (candidate, self._standing):
            heads = self._heads(standing, trial_rows)
            output = self._base_output(standing, judged)
            if heads is not None:
                output = self._head_output(heads[-1], judged, output).astype(np.float32)
            answers.append(standing.base.spread(output, self._stream.width))
        y = self._stream.y[judged]
        candidate.promised = promise(
            self._spec.task,
            self._spec.metric,
            y,
            answers[0],
            standing=self._standing.promised,
        )
        return judge(
            task=self._spec.task,
            metric=self._spec.metric,
            y=y,
            candidate=answers[0],
            champion=answers[1],
            training_y=self._stream.y[training],
            gates=self._spec.gates,
            frame=self._stream.frame.iloc[judged],
            features=tuple(f.name for f in raw_features(self._stream.frame, self._spec)),
        )

    def _put_heads_on(
        self, candidate: _Standing, trial_rows: Rows, judged: Rows, window: int
    ) -> None:
        """Give a new base the heads that it has earned on the rows it was judged by."""
        heads = self._heads(candidate, trial_rows)
        if heads is None:
            return
        trial = self._try(candidate, heads, Mixture(), judged, window)
        if trial is None:
            return
        candidate.trials.append(trial)
        mixture = mix(candidate.trials)
        both_rows = np.concatenate([trial_rows, judged])
        heads = self._heads(candidate, both_rows)
        if heads is not None and mixture.depth is not None:
            candidate.head = mix_heads(mixture, heads)

    def _first_version(self) -> _Standing:
        """Learn from all of the first fraction; what it promises is tried on the newest rows of it
        by a model that has not seen them."""
        rows = self._stream.labelled(0, self._where.first)
        held = holdout_rows(len(rows), self._window_rows, self._spec.gates)
        newest = rows[-held:]
        self._usual_rows = len(rows)
        with self._counted():
            trial = self._fit_base(rows[:-held])
            base = self._fit_base(rows)
            output = trial.spread(trial.output(self._stream, newest), self._stream.width)
        standing = self._new(base, rows)
        standing.promised = promise(
            self._spec.task, self._spec.metric, self._stream.y[newest], output
        )
        return standing

    def _fit_base(self, rows: Rows, begun: Growth | None = None) -> Base:
        self._fits += 1
        return fit_base(self._stream, rows, self._fit, begun)

    def _new(self, base: Base, training: Rows) -> _Standing:
        width = len(base.classes) or self._stream.width
        return _Standing(
            base=base,
            promised=_NOTHING,
            detector=self._detector(training),
            fresh_from=int(training[-1]) + 1 if len(training) else 0,
            outputs=np.full((len(self._stream.frame), width), np.nan, dtype=np.float32),
        )

    def _detector(self, training: Rows) -> Detector | None:
        if not self._watch_inputs:
            return None
        return build_detector(
            self._spec.policy,
            self._stream.frame.iloc[training],
            raw_features(self._stream.frame, self._spec),
            window_rows=self._window_rows,
        )

    def _labelled_rows(self, window: int) -> Rows:
        if window < 0:
            return np.empty(0, dtype=np.intp)
        return self._stream.labelled(*self._bounds(window))

    @contextmanager
    def _counted(self) -> Iterator[None]:
        started = time.process_time()
        with one_thread():  # others that wait for work would count, too
            yield
        self._cpu += time.process_time() - started


_NOTHING = Promise(rows=0, measured=0, mean=0, variance=0, stderr=0, freedom=0)


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
    return f"w{window + 1:06d}"
