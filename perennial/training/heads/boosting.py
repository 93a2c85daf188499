"""Boosting from scores that the rows have already, for which scikit-learn has no parameter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss
from sklearn.ensemble import HistGradientBoostingRegressor

from perennial.training.bins import set_bins
from perennial.training.estimator import TrainingSet
from perennial.training.heads.split_points import MOST, Counted
from perennial.training.unchecked import Unchecked

MAX_TREES = 300
"""A round grows one tree a class: with many classes, fewer rounds keep a head small."""
MIN_ROUNDS = 5
_USUAL_ROWS = 10_000
"""More of them can teach a larger model."""
_UNUSED = np.random.RandomState(0)
"""Trees that look at all columns of all rows leave nothing to chance, but scikit-learn wants a
generator, and to make one takes it a while."""


@dataclass(frozen=True)
class Size:
    """Of a small model: how many trees (a class) of how many leaves, and what each counts for."""

    rounds: int
    leaves: int
    rate: float

    def grown(self, rows: int) -> Size:
        """Give the size for so many rows: the same, or more of everything at a lower rate."""
        times = max(1.0, math.sqrt(rows / _USUAL_ROWS))
        return Size(round(times * self.rounds), round(times * self.leaves), self.rate / times)


def boost(
    columns: Counted,
    data: TrainingSet,
    scores: NDArray[Any],
    weights: NDArray[Any],
    size: Size,
) -> Any:
    """Fit trees whose sum, added to ``scores``, lowers the loss.

    Args:
        columns: of the rows.
        data: the same rows with their targets.
        scores: where they start from, on the scale of `perennial.training.heads.scores`.
        weights: (rows,), 1 on average.
        size: of the model, where rows are not many.

    Returns:
        A fitted booster; its `_raw_predict` takes the values themselves, float64 (rows, columns),
        and is the sum of the trees, (rows, width).
    """
    size = size.grown(len(data))
    settings = {
        "learning_rate": size.rate,
        "max_iter": max(MIN_ROUNDS, min(size.rounds, MAX_TREES // data.width)),
        "early_stopping": False,
        "max_leaf_nodes": size.leaves,
        "max_bins": MOST + 1,
        "min_samples_leaf": min(20, max(2, len(data) // 50)),
        "l2_regularization": 5.0,
        "random_state": _UNUSED,
    }
    booster = _booster(data, scores, settings)
    target = data.y - scores[:, 0] if data.task == "regression" else data.y
    # Without weights scikit-learn takes shorter ways, above all to the medians of absolute errors.
    alike = bool((weights == weights[0]).all())
    booster.points = columns.points
    return booster.fit(columns.counts, target, sample_weight=None if alike else weights)


def _booster(data: TrainingSet, scores: NDArray[Any], settings: dict[str, Any]) -> Any:
    match data.task:
        case "regression":  # what is left of a value is a value
            loss = "absolute_error" if data.metric == "mae" else "squared_error"
            return _OfCounts(loss=loss, **settings)
        case "binary":
            return _OfCounts(loss=_TwoClasses(scores), **settings)
        case "multiclass":
            return _ColumnPerClass(loss=_ManyClasses(scores), **settings)


class _OfCounts(Unchecked, HistGradientBoostingRegressor):  # type: ignore[misc]
    """A booster of `Counted` columns, which are bins already: it looks for none."""

    points: tuple[NDArray[Any], ...]

    def _bin_data(
        self, X: NDArray[Any], sample_weight: NDArray[Any] | None, is_training_data: bool
    ) -> NDArray[Any]:
        del sample_weight, is_training_data
        set_bins(self._bin_mapper, self.points)
        return np.asfortranarray(X)


class _From:
    """A loss at the scores that a booster sums up, moved by those it started from."""

    def __init__(self, scores: NDArray[Any], **settings: Any) -> None:
        super().__init__(**settings)
        self._scores = np.asfortranarray(scores)

    def fit_intercept_only(
        self, y_true: NDArray[Any], sample_weight: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Begin with nothing."""
        del y_true, sample_weight
        return np.zeros(self._scores.shape[1])

    def gradient_hessian(self, *, raw_prediction: NDArray[Any], **rest: Any) -> Any:
        """See `sklearn._loss.loss.BaseLoss`."""
        moved = self._scores + raw_prediction
        return super().gradient_hessian(raw_prediction=moved, **rest)  # type: ignore[misc]


class _TwoClasses(_From, HalfBinomialLoss):  # type: ignore[misc]
    """Log loss of log-odds."""


class _ManyClasses(_From, HalfMultinomialLoss):  # type: ignore[misc]
    """Log loss of one score a class."""

    def __init__(self, scores: NDArray[Any]) -> None:
        super().__init__(scores, n_classes=scores.shape[1])


class _ColumnPerClass(_OfCounts):
    """A booster of one tree a class and round, also for classes without a row."""

    def _encode_y(self, y: NDArray[Any]) -> NDArray[Any]:
        encoded: NDArray[Any] = super()._encode_y(y)
        self.n_trees_per_iteration_ = self.loss.n_classes
        return encoded
