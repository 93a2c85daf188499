"""What spans of rows teach a base that will get a head."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.evaluation.metrics import row_losses, row_weights
from perennial.evaluation.span import TrainingSpan
from perennial.training.estimator import TrainingSet, or_none
from perennial.training.heads.fit import fit_head
from perennial.training.hist_gradient_boosting import Growth


class Spans:
    """What models of different spans do on the newest rows, each with a head on it.

    A quick model learns from all rows of its span: thinned out, the longer one would be tried by
    less than it has to teach.
    """

    def __init__(
        self, training: TrainingSet, trial: TrainingSet, judged: TrainingSet, *, seed: int
    ) -> None:
        """Take the rows.

        Args:
            training: rows to choose from, in time order.
            trial: the rows behind them, on which heads are fitted.
            judged: the rows behind those.
            seed: of all fits.
        """
        self._training, self._trial, self._judged = training, trial, judged
        self._seed = seed
        self.begun: dict[TrainingSpan, Growth] = {}
        """The quick models by their spans: a base may grow on from there."""

    def losses(self, span: TrainingSpan, rounds: int) -> NDArray[Any] | None:
        """Try the newest training rows; see `perennial.evaluation.span.Losses`."""
        growth = self.begun.get(span) or self._begin(span)
        if growth is None:
            return None
        self.begun[span] = growth
        base = growth.until(rounds)

        def answer(rows: TrainingSet) -> NDArray[Any]:
            return base.predict(*or_none(rows.numeric, rows.categorical)).astype(np.float32)

        trial, judged = self._trial, self._judged
        head = fit_head("recalibrate", trial, answer(trial))
        output = head.predict(judged.numeric, judged.categorical, answer(judged))
        losses = row_losses(judged.task, judged.metric, judged.y, output)
        return losses * row_weights(judged.metric, judged.y)

    def _begin(self, span: TrainingSpan) -> Growth | None:
        data = self._training.take(slice(len(self._training) - span.rows, None))
        if data.task != "regression":
            classes = np.count_nonzero(np.bincount(data.y))
            if classes < max(2, data.width):
                return None
        return Growth(replace(data, half_life=span.half_life), seed=self._seed)
