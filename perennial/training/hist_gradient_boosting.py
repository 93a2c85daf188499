"""Histogram gradient boosting (Ke et al. 2017), scikit-learn's.

Numbers go in as they are, missing values too; categories as cross-fitted target codes.
scikit-learn's own ``categorical_features`` are kept away: they do not survive a packaging.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.common import Y_DTYPE
from sklearn.preprocessing import LabelEncoder

from perennial.packaging.graph import Graph
from perennial.packaging.trees import add_tree_ensemble
from perennial.spec import EstimatorName, Task
from perennial.threads import one_thread
from perennial.training.bins import find_thresholds, set_bins
from perennial.training.estimator import Columns, TrainingSet, both
from perennial.training.levels import Levels, lookup_levels
from perennial.training.plain_skops import dump_plain, load_plain
from perennial.training.source import with_format, without_format
from perennial.training.split import Fold
from perennial.training.target_encoding import TargetEncoder, fit_target_encoder
from perennial.training.trial import Behind, FoldTrial
from perennial.training.unchecked import Unchecked

ROUNDS = 50
"""At twice scikit-learn's usual rate, half of its usual rounds: nearly as good on streams that
change, at about half the price (`make bench-version-one`)."""
RATE = 0.2
MAX_TREES = 1600
"""A round grows one tree a class: with many classes, fewer rounds keep time and size in bounds."""
BINS = 127


@dataclass(frozen=True, eq=False)
class FittedBooster:
    """A fitted booster and the codes of its categories."""

    task: Task
    width: int
    numeric_columns: int
    encoder: TargetEncoder
    booster: Any
    rounds: int

    def predict(self, numeric: Columns, categorical: Columns) -> NDArray[Any]:
        """Answer by scikit-learn: float64 (rows, width)."""
        numeric, categorical = both(numeric, categorical)
        if not len(numeric):  # scikit-learn wants one row at least
            return np.empty((0, self.width))
        x = np.hstack([numeric, self.encoder.transform(categorical)])
        with one_thread():
            if self.task == "regression":
                values: NDArray[Any] = self.booster.predict(x)[:, None]
                return values
            chances: NDArray[Any] = self.booster.predict_proba(x)
            return chances[:, 1:] if self.width == 1 else chances

    def to_onnx(self) -> ModelProto:
        """Write codes and trees as one graph."""
        graph = Graph()
        parts = [graph.numeric(self.numeric_columns)] if self.numeric_columns else []
        parts += lookup_levels(graph, self.encoder.levels, self.encoder.tables)
        scores = add_tree_ensemble(graph, graph.concat(parts), self.booster)
        if self.task != "regression":
            raw_width = self.booster.n_trees_per_iteration_
            scores = graph.probabilities(scores, raw_width, self.width)
        return graph.finish(scores, self.width)

    def to_source(self) -> bytes:
        """Write scikit-learn's ``booster`` in skops' format, and beside it the codes."""
        content = {
            "task": self.task,
            "width": self.width,
            "numeric_columns": self.numeric_columns,
            "levels": [list(known.names) for known in self.encoder.levels],
            "tables": list(self.encoder.tables),
            "booster": self.booster,
            "rounds": self.rounds,
        }
        return dump_plain(with_format(content))


class HistGradientBoosting:
    """Boosted trees."""

    name: EstimatorName = "hist_gradient_boosting"
    source_file = "source.skops"

    def from_source(self, data: bytes) -> FittedBooster:
        """Read what `FittedBooster.to_source` wrote; see `source`."""
        content = without_format(load_plain(data))
        levels = tuple(Levels(tuple(names)) for names in content.pop("levels"))
        return FittedBooster(encoder=TargetEncoder(levels, tuple(content.pop("tables"))), **content)

    def cost(self, rows: int, columns: int, width: int) -> float:
        """Guess the seconds of one fit; see `Estimator`."""
        return 0.3 + 1e-6 * rows * (columns + 5) * width

    @one_thread()
    def fit(self, data: TrainingSet, *, seed: int, rounds: int | None = None) -> FittedBooster:
        """Fit given rounds, or the usual ones; see `Estimator`."""
        rounds = min(rounds or ROUNDS, max(1, MAX_TREES // data.width))
        encoder, codes = fit_target_encoder(data)
        booster = _booster(data, seed, rounds)
        x = fill_empty_columns(np.hstack([data.numeric, codes]))
        booster.fit(x, data.y, sample_weight=data.weights)
        columns = data.numeric.shape[1]
        return FittedBooster(data.task, data.width, columns, encoder, booster.plain(), rounds)

    def trial(self, fold: Fold, *, seed: int, behind: Behind | None = None) -> FoldTrial:
        """Fit the usual rounds on the older rows; see `Estimator`."""
        del behind
        model = self.fit(fold.older, seed=seed)
        output = model.predict(fold.newer.numeric, fold.newer.categorical)
        return FoldTrial(len(fold.newer), None, lambda _: output)

    def rounds(self, trials: Sequence[FoldTrial]) -> int:
        """The usual ones; see `Estimator`."""
        del trials
        return ROUNDS


ESTIMATOR = HistGradientBoosting()


def _booster(data: TrainingSet, seed: int, rounds: int) -> Any:
    settings = {
        "max_iter": rounds,
        "learning_rate": RATE,
        "max_bins": BINS,
        "early_stopping": False,
        "l2_regularization": 1.0,
        "min_samples_leaf": min(20, max(2, len(data) // 50)),
        "random_state": seed,
    }
    if data.task != "regression":
        return _Classifier(**settings)
    loss = "absolute_error" if data.metric == "mae" else "squared_error"
    return _Regressor(loss=loss, **settings)


class _Quick(Unchecked):
    """A booster of scikit-learn's whose bins are found with one sort a column."""

    _kin: ClassVar[type]
    """The class that a source file may name."""
    _bin_mapper: Any

    def _bin_data(
        self, X: NDArray[Any], sample_weight: NDArray[Any] | None, is_training_data: bool
    ) -> NDArray[Any]:
        """Let bins hold as many rows each: bins of equal weight take scikit-learn longer than the
        trees, and give no better ones."""
        del sample_weight
        if is_training_data:
            set_bins(self._bin_mapper, [find_thresholds(column, BINS) for column in X.T])
        binned: NDArray[Any] = self._bin_mapper.transform(X)
        return binned

    def plain(self) -> Any:
        """Give scikit-learn's own booster."""
        booster = self._kin()
        vars(booster).update(vars(self))
        del booster._feature_subsample_rng
        return booster


class _Classifier(_Quick, HistGradientBoostingClassifier):  # type: ignore[misc]
    _kin = HistGradientBoostingClassifier

    def _encode_y(self, y: NDArray[Any]) -> NDArray[Any]:
        """Number the classes that occur without sorting all rows for it, as scikit-learn does."""
        self.classes_ = np.flatnonzero(np.bincount(y))
        self._label_encoder = LabelEncoder().fit(self.classes_)
        self.n_trees_per_iteration_ = 1 if len(self.classes_) <= 2 else len(self.classes_)
        numbers: NDArray[Any] = np.searchsorted(self.classes_, y).astype(Y_DTYPE)
        return numbers


class _Regressor(_Quick, HistGradientBoostingRegressor):  # type: ignore[misc]
    _kin = HistGradientBoostingRegressor


def fill_empty_columns(x: NDArray[Any]) -> NDArray[Any]:
    """Fill columns without any value, on which scikit-learn's binning fails; none is split on."""
    empty = np.isnan(x).all(axis=0)
    if not empty.any():
        return x
    filled: NDArray[Any] = np.where(empty, np.float32(0), x)
    return filled
