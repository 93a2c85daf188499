"""What spans of rows teach a base that will get a head."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.evaluation.metrics import row_losses, row_weights
from perennial.evaluation.span import Losses
from perennial.training.estimator import Columns, TrainingSet, load_estimator
from perennial.training.heads.fit import fit_head

QUICK_ROUNDS = 20
"""A quick model learns from all rows of its span: thinned out, the longer one would be tried by
less than it has to teach."""


def headed_losses(
    training: TrainingSet, trial: TrainingSet, judged: TrainingSet, *, seed: int
) -> Losses:
    """Give the function by which `perennial.evaluation.span.choose_span` tries spans.

    Args:
        training: rows to choose from, in time order.
        trial: the rows behind them, on which heads are fitted.
        judged: the rows behind those.
        seed: of all fits.
    """

    def losses(span: int) -> NDArray[Any] | None:
        data = training.take(slice(len(training) - span, None))
        if data.task != "regression" and len(np.unique(data.y)) < max(2, data.width):
            return None
        base = load_estimator("hist_gradient_boosting").fit(data, seed=seed, rounds=QUICK_ROUNDS)

        def answer(rows: TrainingSet) -> NDArray[Any]:
            return base.predict(*_columns(rows)).astype(np.float32)

        head = fit_head("recalibrate", trial, answer(trial), seed=seed)
        output = head.predict(*_columns(judged), answer(judged))
        losses = row_losses(judged.task, judged.metric, judged.y, output)
        return losses * row_weights(judged.metric, judged.y)

    return losses


def _columns(rows: TrainingSet) -> tuple[Columns, Columns]:
    numeric, categorical = rows.numeric, rows.categorical
    return numeric if numeric.shape[1] else None, categorical if categorical.shape[1] else None
