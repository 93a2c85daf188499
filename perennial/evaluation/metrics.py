"""What a model is judged by: the pipeline's metric over many rows, and a loss row by row.

``y`` is, for regression, float values of shape (rows,); for classification, the indices of the true
classes, int of shape (rows,). ``output`` is what a packaged graph gives: float of shape (rows, 1)
for regression and binary (probability of class 1), (rows, classes) for multiclass.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.spec import MetricName, Task

Floats = NDArray[Any]

_EPS = 1e-6
GREATER_IS_BETTER: dict[MetricName, bool] = {
    "rmse": False,
    "mae": False,
    "auc": True,
    "log_loss": False,
    "accuracy": True,
    "balanced_accuracy": True,
}


def score(metric: MetricName, y: NDArray[Any], output: NDArray[Any]) -> float:
    """Compute the metric over all rows; NaN where it is undefined (no rows, one class for auc)."""
    if len(y) == 0:
        return float("nan")
    match metric:
        case "rmse":
            return float(np.sqrt(np.mean((output[:, 0] - y) ** 2)))
        case "mae":
            return float(np.mean(np.abs(output[:, 0] - y)))
        case "auc":
            return _auc(y, output[:, 0])
        case "log_loss":
            return float(np.mean(_log_loss(y, output)))
        case "accuracy":
            return float(np.mean(predicted_class(output) == y))
        case "balanced_accuracy":
            hit = predicted_class(output) == y
            return float(np.mean([hit[y == c].mean() for c in np.unique(y)]))


def row_losses(task: Task, metric: MetricName, y: NDArray[Any], output: NDArray[Any]) -> Floats:
    """Loss of each row, lower is better: what the mean of tells about ``metric``.

    Squared error for rmse, absolute error for mae, log loss for probabilities and rankings,
    0/1 for accuracies.
    """
    if task == "regression":
        error: Floats = output[:, 0].astype(np.float64) - y
        losses: Floats = error**2 if metric == "rmse" else np.abs(error)
        return losses
    if metric in ("accuracy", "balanced_accuracy"):
        wrong: Floats = (predicted_class(output) != y).astype(np.float64)
        return wrong
    return _log_loss(y, output)


def row_weights(metric: MetricName | None, y: NDArray[Any]) -> Floats:
    """Say what each row counts for in the metric, 1 on average (rows,): all alike, but under
    balanced accuracy every class as much as every other one that is there."""
    weights = np.ones(len(y))
    if metric == "balanced_accuracy":
        classes, place, counts = np.unique(y, return_inverse=True, return_counts=True)
        weights = (len(y) / (len(classes) * counts))[place]
    return weights


def loss_bound(task: Task, metric: MetricName) -> float | None:
    """Give the largest loss that `row_losses` can give a row; None: there is none."""
    if task == "regression":
        return None
    return 1.0 if metric in ("accuracy", "balanced_accuracy") else -float(np.log(_EPS))


def prediction_shift(champion: NDArray[Any], challenger: NDArray[Any]) -> float:
    """How far two models' answers to the same rows lie apart, free of the target's unit.

    Args:
        champion: output (rows, width), two rows at least, finite.
        challenger: its output on them, the classes in the same order.

    Returns:
        For one column the mean absolute difference over the standard deviation of the champion's
        answers; for more the mean total variation distance of the class probabilities (0 to 1).
    """
    apart = np.abs(challenger.astype(np.float64) - champion)
    if champion.shape[1] > 1:
        return float(apart.sum(axis=1).mean() / 2)
    spread = float(champion.std(dtype=np.float64))
    return float(apart.mean()) / spread if spread > 0 else 0.0


def predicted_class(output: NDArray[Any]) -> NDArray[Any]:
    """Index of the class that an output row votes for."""
    if output.shape[1] == 1:
        return (output[:, 0] >= 0.5).astype(np.intp)
    chosen: NDArray[Any] = np.argmax(output, axis=1)
    return chosen


def _log_loss(y: NDArray[Any], output: NDArray[Any]) -> Floats:
    p = output.astype(np.float64)
    if p.shape[1] == 1:
        p = np.hstack([1 - p, p])
    loss: Floats = -np.log(np.clip(p[np.arange(len(y)), y.astype(np.intp)], _EPS, 1.0))
    return loss


def _auc(y: NDArray[Any], value: NDArray[Any]) -> float:
    """Area under the ROC curve by the rank sum of Mann and Whitney."""
    from scipy.stats import rankdata

    positive = y == 1
    n1, n0 = int(positive.sum()), int((~positive).sum())
    if n1 == 0 or n0 == 0:
        return float("nan")
    ranks = rankdata(value)
    return float((ranks[positive].sum() - n1 * (n1 + 1) / 2) / (n1 * n0))
