"""Ridge and logistic regression: the baseline that a more flexible model has to beat."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from perennial.packaging.graph import Graph
from perennial.spec import EstimatorName, Task
from perennial.threads import one_thread
from perennial.training.estimator import Columns, TrainingSet, both, in_chunks
from perennial.training.levels import Levels, index_levels, learn_levels, lookup_levels
from perennial.training.plain_skops import dump_plain, load_plain
from perennial.training.scaling import Scaler
from perennial.training.source import with_format, without_format
from perennial.training.split import Fold
from perennial.training.trial import Behind, FoldTrial

MAX_ROWS = 100_000
"""A linear model learns no more from older rows than these newest."""
MAX_LEVELS = 50
MAX_INDICATORS = 256
"""Indicators of categories in all columns together."""


@dataclass(frozen=True, eq=False)
class FittedLinear:
    """Coefficients over scaled numbers and indicators of categories."""

    task: Task
    width: int
    scaler: Scaler
    levels: tuple[Levels, ...]
    regression: Any
    rounds: None = None

    def predict(self, numeric: Columns, categorical: Columns) -> NDArray[Any]:
        """Answer by scikit-learn: float64 (rows, width)."""
        numeric, categorical = both(numeric, categorical)
        numbered = index_levels(self.levels, categorical)
        parts = [
            self._predict(_design(self.scaler, self.levels, numeric[rows], numbered[rows]))
            for rows in in_chunks(len(numeric))
        ]
        return np.concatenate(parts)

    def _predict(self, design: NDArray[Any]) -> NDArray[Any]:
        if not len(design):
            return np.empty((0, self.width))
        if self.task == "regression":
            values: NDArray[Any] = self.regression.predict(design).reshape(-1, 1)
            return values
        chances: NDArray[Any] = self.regression.predict_proba(design)
        return chances[:, 1:] if self.width == 1 else chances

    def to_onnx(self) -> ModelProto:
        """Write one graph: a matrix product for the numbers, one table for each category."""
        graph = Graph()
        weight = np.atleast_2d(self.regression.coef_).T
        bias = np.atleast_1d(self.regression.intercept_)
        parts = lookup_levels(graph, self.levels, self._tables(weight))
        scaled = self.scaler.to_graph(graph)
        if scaled:
            parts.append(graph.affine(graph.concat(scaled), weight[: self.scaler.width], bias))
        else:
            parts.append(graph.constant(bias))
        scores = parts[0] if len(parts) == 1 else graph.add("Sum", *parts)
        if self.task != "regression":
            scores = graph.probabilities(scores, weight.shape[1], self.width)
        return graph.finish(scores, self.width)

    def to_source(self) -> bytes:
        """Write scikit-learn's ``regression`` in skops' format, and beside it the preprocessing."""
        content = {
            "task": self.task,
            "width": self.width,
            "scaler": self.scaler.arrays,
            "levels": [list(known.names) for known in self.levels],
            "regression": self.regression,
        }
        return dump_plain(with_format(content))

    def _tables(self, weight: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Cut the indicators' coefficients into one table a column, zero for unseen strings."""
        unseen = np.zeros((1, weight.shape[1]))
        cuts = self.scaler.width + np.cumsum([len(known.names) for known in self.levels])
        pieces = np.split(weight, [self.scaler.width, *cuts[:-1]])[1:] if self.levels else []
        return tuple(np.vstack([unseen, piece]) for piece in pieces)


class Linear:
    """Ridge for values, logistic regression for classes."""

    name: EstimatorName = "linear"
    source_file = "source.skops"

    def from_source(self, data: bytes) -> FittedLinear:
        """Read what `FittedLinear.to_source` wrote; see `source`."""
        content = without_format(load_plain(data))
        scaler = Scaler(**content.pop("scaler"))
        levels = tuple(Levels(tuple(names)) for names in content.pop("levels"))
        return FittedLinear(scaler=scaler, levels=levels, **content)

    def cost(self, rows: int, columns: int, width: int) -> float:
        """Guess the seconds of one fit; see `Estimator`."""
        return 0.1 + 5e-7 * min(rows, MAX_ROWS) * (columns + 5) * width

    def fit(self, data: TrainingSet, *, seed: int, rounds: int | None = None) -> FittedLinear:
        """Fit on the newest rows; there are no rounds. See `Estimator`."""
        del rounds
        kept = _newest_of_every_class(data)
        scaler = Scaler.learn(kept.numeric)
        columns = max(kept.categorical.shape[1], 1)
        limit = max(2, min(MAX_LEVELS, MAX_INDICATORS // columns))
        levels, numbered = learn_levels(kept.categorical, min_count=2, limit=limit)
        design = _design(scaler, levels, kept.numeric, numbered)
        with one_thread():
            regression = _regression(data.task, seed)
            with warnings.catch_warnings():
                # Coefficients that still move a little after max_iter are good enough.
                warnings.simplefilter("ignore", ConvergenceWarning)
                regression.fit(design, kept.y, sample_weight=kept.weights)
        return FittedLinear(data.task, data.width, scaler, levels, regression)

    def trial(self, fold: Fold, *, seed: int, behind: Behind | None = None) -> FoldTrial:
        """Fit on the older rows; see `Estimator`."""
        del behind
        model = self.fit(fold.older, seed=seed)
        output = model.predict(fold.newer.numeric, fold.newer.categorical)
        return FoldTrial(len(fold.newer), None, lambda _: output)

    def rounds(self, trials: Sequence[FoldTrial]) -> None:
        """There are none; see `Estimator`."""


ESTIMATOR = Linear()


def _regression(task: Task, seed: int) -> Any:
    if task == "regression":
        return Ridge(alpha=1.0, random_state=seed)
    return LogisticRegression(C=1.0, max_iter=200, random_state=seed)


def _newest_of_every_class(data: TrainingSet) -> TrainingSet:
    """Keep the newest rows, and of classes that have none among them, all."""
    recent = np.zeros(len(data), dtype=bool)
    recent[-MAX_ROWS:] = True
    if data.task != "regression":
        recent |= ~np.isin(data.y, np.unique(data.y[recent]))
    return data.take(recent)


def _design(
    scaler: Scaler,
    levels: tuple[Levels, ...],
    numeric: NDArray[Any],
    numbered: NDArray[Any],
) -> NDArray[Any]:
    """Lay out scaled numbers, then indicators of categories: float64 (rows, columns)."""
    indicators = [numbered[:, [j]] == np.arange(1, known.size) for j, known in enumerate(levels)]
    return np.hstack([scaler.transform(numeric).astype(np.float64), *indicators])
