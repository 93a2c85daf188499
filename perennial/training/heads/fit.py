"""Fit heads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.errors import TrainingError
from perennial.threads import one_thread
from perennial.training.estimator import TrainingSet, weigh_by_age
from perennial.training.heads.correct import fit_correction, fit_renewal, prepare
from perennial.training.heads.head import Head

MOST_ROWS = 20_000
"""That heads are fitted on."""
_RENEWAL_HALF_LIFE = 1 / 3
"""Of what a row counts for in a renewal, as a share of all rows: the other heads look at all of
them alike, so this one is to look at the newest, and their trials say which is the better view."""


@one_thread()
def fit_heads(data: TrainingSet, base_output: NDArray[Any]) -> tuple[Head, ...]:
    """Fit one of each kind on the newest labelled rows, in the order of
    `perennial.evaluation.mixing.HEADS`.

    The same rows give the same heads, bit by bit. Of more rows than `MOST_ROWS` evenly chosen ones
    are taken: what so small a model can learn, they teach. The correction starts from the
    recalibration, so that both cost little more than one.

    Args:
        data: rows in time order, weighed as `TrainingSet.weights` says; of the base's classes, some
            may have no row.
        base_output: what the base's packaged graph gives for them, float32 (rows, width): another
            library's output of the same model differs in its last bits.

    Raises:
        TrainingError: there are no rows, or an answer of the base is no finite number.
    """
    data, base_output, weights = _prepared(data, base_output)
    inputs = prepare(data)
    correction = fit_correction(data, base_output, weights, inputs)
    newest = weigh_by_age(weights, _RENEWAL_HALF_LIFE * len(data))
    renewal = fit_renewal(data, base_output, newest, inputs)
    return correction.start, renewal, correction


def _prepared(
    data: TrainingSet, base_output: NDArray[Any]
) -> tuple[TrainingSet, NDArray[Any], NDArray[Any]]:
    """Give the rows to fit on, the base's answers as its packaged graph gives them, and weights of
    1 on average."""
    if not len(data):
        raise TrainingError("no labelled rows: a head has nothing to learn from")
    chosen = slice(None, None, max(1, -(-len(data) // MOST_ROWS)))
    weights = np.ones(len(data)) if data.weights is None else data.weights
    data, base_output, weights = data.take(chosen), base_output[chosen], weights[chosen]
    if not np.isfinite(base_output).all():
        raise TrainingError("the base's answers are not all numbers: a head cannot mend that")
    return data, base_output.astype(np.float32), weights / weights.mean()
