"""Means of serially dependent rows, with honest intervals.

Neighbouring rows of a stream resemble one another, so the textbook standard error of a mean is too
small. Here the rows, in time order, are cut into a few long batches whose means are nearly
independent, and Student's t is taken over the batch means (Schmeiser, "Batch size effects in the
analysis of simulation output", Operations Research 30, 1982: ten batches are enough). One wild row
inflates its batch and the spread of the batches alike, so that it alone never looks significant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.spec import MetricName, Task

MAX_BATCHES = 10
MIN_BATCHES = 5
_ROWS_A_BATCH = 10


@dataclass(frozen=True)
class BatchMean:
    """A mean over rows, its standard error, and the degrees of freedom of that error."""

    rows: int
    mean: float
    stderr: float
    freedom: int

    def interval(self, confidence: float) -> tuple[float, float]:
        """Two-sided interval of the mean at ``confidence`` (0 to 1); infinite for a single row."""
        from scipy.stats import t

        if self.freedom < 1:
            return -np.inf, np.inf
        reach = float(t.ppf((1 + confidence) / 2, self.freedom)) * self.stderr
        return self.mean - reach, self.mean + reach


def batch_mean(values: NDArray[Any]) -> BatchMean:
    """Take the mean of ``values`` (rows,) in time order, with its batch-means standard error.

    Raises:
        ValueError: there are no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("a mean needs at least one row")
    batches = min(n, MAX_BATCHES, max(MIN_BATCHES, n // _ROWS_A_BATCH))
    means = np.array([part.mean() for part in np.array_split(values, batches)])
    stderr = float(means.std(ddof=1) / np.sqrt(batches)) if batches > 1 else 0.0
    return BatchMean(n, float(np.mean(values)), stderr, batches - 1)


def paired_losses(
    task: Task, metric: MetricName, y: NDArray[Any], output: NDArray[Any]
) -> NDArray[Any]:
    """Give each row a loss whose mean moves as ``metric`` does, for use in paired tests.

    As `metrics.row_losses`, but for ``auc`` the row's share in 1 - AUC (the influence function of
    DeLong, DeLong & Clarke-Pearson, Biometrics 44, 1988), and for ``balanced_accuracy`` errors
    weighted by class. Shapes as in `perennial.evaluation.metrics`.
    """
    from perennial.evaluation.metrics import row_losses, row_weights

    classes = np.unique(y)
    if metric == "auc" and len(classes) == 2:
        return _auc_losses(y, output[:, 0])
    return row_losses(task, metric, y, output) * row_weights(metric, y)


def _auc_losses(y: NDArray[Any], value: NDArray[Any]) -> NDArray[Any]:
    from scipy.stats import rankdata

    positive = y == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    rank = rankdata(value)
    placement = np.empty(len(y), dtype=np.float64)
    placement[positive] = (rank[positive] - rankdata(value[positive])) / n0
    placement[~positive] = 1 - (rank[~positive] - rankdata(value[~positive])) / n1
    auc = placement[positive].mean()
    share = np.where(positive, len(y) / n1, len(y) / n0)
    influence: NDArray[Any] = 1 - auc - (placement - auc) * share
    return influence
