"""A base that answers a stream, with the heads on it: what they answer, how they are fitted and
tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.backtest.bases import Base, Rows, Stream
from perennial.drift import Check, Detector, Promise, Verdicts
from perennial.evaluation.division import MIN_HEAD_ROWS
from perennial.evaluation.metrics import row_losses
from perennial.evaluation.mixing import HeadTrial, Mixture, mix, try_heads
from perennial.loop.meter import Meter
from perennial.training.estimator import TrainingSet
from perennial.training.heads import Head, fit_head, fit_heads
from perennial.training.heads.heal import is_stale

_NOTHING = Promise(rows=0, measured=0, mean=0, variance=0, stderr=0, freedom=0)


@dataclass(eq=False)
class Standing:
    """A base, the heads on it, and what is known of them."""

    stream: Stream
    meter: Meter
    base: Base
    fresh_from: int
    """The first row that the base was not trained on."""
    detector: Detector | None
    promised: Promise = _NOTHING
    head: Head | None = None
    head_knows: int = 0
    """The head that answers has learned from no row from this one on."""
    checks: list[Check] = field(default_factory=list)
    trials: list[HeadTrial] = field(default_factory=list)
    """Of the time before it took over."""
    _outputs: NDArray[np.float32] = field(init=False)
    """The base's, of the stream's rows as far as they were needed; NaN before that."""
    _newest: tuple[Rows, tuple[Head, ...]] | None = field(default=None, init=False)
    """The heads that were fitted last, and on what."""

    def __post_init__(self) -> None:
        width = len(self.base.classes) or self.stream.width
        self._outputs = np.full((len(self.stream.frame), width), np.nan, dtype=np.float32)

    def output(self, rows: Rows) -> NDArray[np.float32]:
        """The base's answers to rows, in its own classes."""
        missing = rows[np.isnan(self._outputs[rows]).any(axis=1)]
        if len(missing):
            self._outputs[missing] = self.base.output(self.stream, missing)
        return self._outputs[rows]

    def base_losses(self, rows: Rows) -> NDArray[Any]:
        """The base's loss on each of these rows that is of a class it knows."""
        data, kept = self.base.known_to_it(self.stream.take(rows))
        return row_losses(data.task, data.metric, data.y, self.output(rows[kept]))

    def answer(self, rows: Rows, head: Head | None) -> NDArray[Any]:
        """Answers to rows with a head on the base, in all of the stream's classes."""
        output = self.output(rows)
        if head is not None:
            # In the precision of a packaged graph.
            output = self._through(head, rows, output).astype(np.float32)
        return self.base.spread(output, self.stream.width)

    def heads(self, rows: Rows) -> tuple[Head, ...] | None:
        """Fit heads, unless the last ones were fitted on nearly the same rows."""
        if self._newest is not None and not is_stale(self._newest[0], rows):
            return self._newest[1]
        known = self._to_fit_on(rows)
        if known is None:
            return None
        with self.meter.counted():
            heads = fit_heads(*known)
        self.meter.fits += 1
        self._newest = rows, heads
        return heads

    def correction(self, rows: Rows) -> Head | None:
        """Fit only the head that corrects the base; None where there are too few rows."""
        known = self._to_fit_on(rows)
        if known is None:
            return None
        with self.meter.counted():
            head = fit_head("correct", *known)
        self.meter.fits += 1
        return head

    def try_heads(
        self, heads: Sequence[Head], mixture: Mixture, rows: Rows, window: str
    ) -> HeadTrial | None:
        """Try heads on rows they have not seen; None where the base knows none of their classes."""
        data, kept = self.base.known_to_it(self.stream.take(rows))
        if not len(data):
            return None
        rows, spec = rows[kept], self.stream.spec
        with self.meter.counted():
            base = self.output(rows)
            outputs = [self._through(head, rows, base) for head in heads]
            return try_heads(window, spec.task, data.y, base, outputs, mixture, metric=spec.metric)

    def earned(self) -> Mixture:
        """The heads' shares by all their trials so far."""
        return mix([trial for seen in [*self.before(), *self.checks] for trial in seen.trials])

    def before(self) -> list[Verdicts]:
        """The trials by which a retrained base was judged stand before its first window."""
        trials = self.trials
        return [Verdicts(window=trials[-1].window, trials=tuple(trials))] if trials else []

    def _to_fit_on(self, rows: Rows) -> tuple[TrainingSet, NDArray[Any]] | None:
        """Rows of the base's classes and its answers to them, unless there are too few."""
        data, kept = self.base.known_to_it(self.stream.take(rows))
        return (data, self.output(rows[kept])) if len(data) >= MIN_HEAD_ROWS else None

    def _through(self, head: Head, rows: Rows, output: NDArray[Any]) -> NDArray[Any]:
        numeric, categorical = (columns[rows] for columns in self.stream.inputs)
        return head.predict(numeric, categorical, output)
