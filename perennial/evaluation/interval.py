"""How sure a metric is: an interval from a bootstrap over blocks of neighbouring rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.evaluation.metrics import score
from perennial.spec import MetricName

_BLOCKS = 20
_DRAWS = 200


def score_interval(
    metric: MetricName, y: NDArray[Any], output: NDArray[Any], confidence: float
) -> tuple[float, float] | None:
    """Give the two-sided interval of a metric by the percentile bootstrap over blocks.

    Blocks of neighbouring rows are drawn together, so that rows which resemble their neighbours do
    not count as many (Kunsch, "The jackknife and the bootstrap for general stationary
    observations", Annals of Statistics 17, 1989).

    Returns:
        Lower and upper end; None where the metric is undefined on too many of the draws.
    """
    if len(y) < 2:
        return None
    rng = np.random.default_rng(0)
    blocks = np.array_split(np.arange(len(y)), min(_BLOCKS, len(y)))
    drawn = []
    for _ in range(_DRAWS):
        rows = np.concatenate([blocks[i] for i in rng.integers(0, len(blocks), len(blocks))])
        drawn.append(score(metric, y[rows], output[rows]))
    known = [value for value in drawn if np.isfinite(value)]
    if len(known) < _DRAWS / 2:
        return None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
