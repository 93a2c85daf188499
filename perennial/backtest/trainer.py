"""Full heals in memory: a base's span chosen by forward validation, the gate that judges it, and
the heads that it has earned by then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perennial.backtest.bases import Base, Fit, Rows, Stream, fit_base
from perennial.backtest.standing import Standing
from perennial.backtest.stream import Cut
from perennial.drift import Detector, build_detector, promise
from perennial.evaluation.answers import Answers
from perennial.evaluation.decision import GateDecision, untried
from perennial.evaluation.division import Division, Unseen, divide, holdout_rows
from perennial.evaluation.gate import judge
from perennial.evaluation.mixing import Mixture
from perennial.evaluation.span import TrainingSpan, choose_span, rows_since_rise
from perennial.evaluation.yardstick import raw_features
from perennial.loop.meter import Meter
from perennial.training.heads import mix_heads
from perennial.training.heads.spans import Spans
from perennial.training.hist_gradient_boosting import Growth


@dataclass(frozen=True)
class Candidate:
    """A new base that has been judged."""

    standing: Standing
    rows: int
    """That it was fitted on."""
    gate: GateDecision


@dataclass(frozen=True)
class Trainer:
    """Makes the bases of a stream."""

    stream: Stream
    where: Cut
    fit: Fit
    watch_inputs: bool
    meter: Meter

    def first_version(self) -> Standing:
        """Learn from all of the first fraction; what it promises is tried on the newest rows of it
        by a model that has not seen them."""
        stream, spec = self.stream, self.stream.spec
        rows = stream.labelled(0, self.where.first)
        held = holdout_rows(len(rows), self.where.window_rows, spec.gates)
        newest = rows[-held:]
        with self.meter.counted():
            trial = self._fit_base(rows[:-held])
            base = self._fit_base(rows)
            output = trial.spread(trial.output(stream, newest), stream.width)
        standing = self._stand(base, rows)
        standing.promised = promise(spec.task, spec.metric, stream.y[newest], output)
        return standing

    def retrain(self, champion: Standing, rows: Rows, window: str) -> Candidate | GateDecision:
        """Train on labelled rows, of which the newest try the heads and judge the base.

        Args:
            rows: all that are labelled by now, in time order.
            window: the newest window, by whose name a trial of heads is known.

        Returns:
            The candidate; the decision alone where nothing could judge one.
        """
        divided = self._divide(champion, rows)
        if divided.refusal is not None:
            return untried(divided.refusal)
        end, judged_from = len(rows) - divided.held, len(rows) - divided.judged
        training, trial_rows, judged = rows[:end], rows[end:judged_from], rows[judged_from:]
        span, begun = TrainingSpan(end), None
        if divided.heads:
            span, begun = self._choose_span(champion, training, trial_rows, judged)
        training = training[-span.rows :]
        with self.meter.counted():
            base = self._fit_base(training, begun, span.half_life)
        candidate = self._stand(base, training)
        gate = self._judge(candidate, champion, trial_rows, judged, training)
        if gate.passed:
            _put_heads_on(candidate, trial_rows, judged, window)
        return Candidate(candidate, len(training), gate)

    def _divide(self, champion: Standing, rows: Rows) -> Division:
        """As in production: by what the champion has learned from."""
        knows = champion.fresh_from, max(champion.fresh_from, champion.head_knows)
        base, whole = (int((rows >= row).sum()) for row in knows)
        return divide(
            "retrain",
            len(rows),
            self.where.window_rows,
            gates=self.stream.spec.gates,
            unseen=Unseen(base=base, champion=whole),
        )

    def _choose_span(
        self, champion: Standing, training: Rows, trial_rows: Rows, judged: Rows
    ) -> tuple[TrainingSpan, Growth | None]:
        usual = len(self.stream.labelled(0, self.where.first))
        with self.meter.counted():
            losses = champion.base_losses(training[training >= champion.fresh_from])
            spans = Spans(
                *(self.stream.take(rows) for rows in (training, trial_rows, judged)),
                seed=self.stream.spec.model.seed,
            )
            choice = choose_span(
                len(training), spans.losses, usual=usual, risen=rows_since_rise(losses)
            )
        self.meter.fits += len(choice.tried)
        return choice.span, spans.begun.get(choice.span)

    def _judge(
        self,
        candidate: Standing,
        champion: Standing,
        trial_rows: Rows,
        judged: Rows,
        training: Rows,
    ) -> GateDecision:
        """Hold both bases against one another, each with a head of the same rows on it; without
        rows for heads, the new base against the champion as it stands."""
        heads = candidate.heads(trial_rows)
        theirs = champion.correction(trial_rows) if len(trial_rows) else champion.head
        answers = [
            candidate.answer(judged, heads[-1] if heads else None),
            champion.answer(judged, theirs),
        ]
        stream, spec = self.stream, self.stream.spec
        y = stream.y[judged]
        candidate.promised = promise(
            spec.task, spec.metric, y, answers[0], standing=champion.promised
        )
        return judge(
            Answers(
                task=spec.task,
                metric=spec.metric,
                y=y,
                candidate=answers[0],
                champion=answers[1],
                training_y=stream.y[training],
            ),
            spec.gates,
            frame=stream.frame.iloc[judged],
            features=tuple(f.name for f in raw_features(stream.frame, spec)),
        )

    def _fit_base(
        self, rows: Rows, begun: Growth | None = None, half_life: int | None = None
    ) -> Base:
        self.meter.fits += 1
        return fit_base(self.stream, rows, self.fit, begun, half_life)

    def _stand(self, base: Base, training: Rows) -> Standing:
        return Standing(
            self.stream,
            self.meter,
            base,
            fresh_from=int(training[-1]) + 1 if len(training) else 0,
            detector=self._detector(training),
        )

    def _detector(self, training: Rows) -> Detector | None:
        if not self.watch_inputs:
            return None
        return build_detector(
            self.stream.spec.policy,
            self.stream.frame.iloc[training],
            raw_features(self.stream.frame, self.stream.spec),
            window_rows=self.where.window_rows,
        )


def _put_heads_on(candidate: Standing, trial_rows: Rows, judged: Rows, window: str) -> None:
    """Give a new base the heads that it has earned on the rows it was judged by."""
    heads = candidate.heads(trial_rows)
    if heads is None:
        return
    trial = candidate.try_heads(heads, Mixture(), judged, window)
    if trial is None:
        return
    candidate.trials.append(trial)
    mixture = candidate.earned()
    heads = candidate.heads(np.concatenate([trial_rows, judged]))
    if heads is not None and mixture.depth is not None:
        candidate.head = mix_heads(mixture, heads)
        candidate.head_knows = int(judged[-1]) + 1
