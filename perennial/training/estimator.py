"""What an estimator is asked for, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from perennial.evaluation.metrics import row_weights
from perennial.spec import EstimatorName, MetricName, Task

if TYPE_CHECKING:
    from perennial.training.split import Fold
    from perennial.training.trial import Behind, FoldTrial

Columns = NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Labelled rows in time order, encoded as a packaged graph takes them."""

    task: Task
    metric: MetricName
    width: int
    """Columns of the model's output."""
    numeric: NDArray[Any]
    """float32 (rows, numeric features), NaN where missing."""
    categorical: NDArray[Any]
    """Strings as objects, (rows, categorical features), empty where missing."""
    y: NDArray[Any]
    """float64 values, or int64 indices of the classes, every one of which occurs; (rows,)."""

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: NDArray[Any] | slice) -> TrainingSet:
        """Select rows by mask, index or slice."""
        return replace(
            self, numeric=self.numeric[rows], categorical=self.categorical[rows], y=self.y[rows]
        )

    @cached_property
    def weights(self) -> NDArray[Any] | None:
        """What each row counts for in a fit, by the metric: a vote that is to be right for each
        class alike is learned from each class alike. 1 on average (rows,); None: all count alike.
        """
        return row_weights(self.metric, self.y) if self.metric == "balanced_accuracy" else None


def weigh_by_age(weights: NDArray[Any], half_life: float) -> NDArray[Any]:
    """Let older rows count for less: 1 on average (rows,).

    Args:
        weights: of rows in time order.
        half_life: a row that is so many rows older than another counts half as much.
    """
    aged: NDArray[Any] = weights * 0.5 ** (np.arange(len(weights))[::-1] / half_life)
    aged /= aged.mean()
    return aged


class FittedModel(Protocol):
    """A trained model in its source form."""

    @property
    def rounds(self) -> int | None:
        """Boosting rounds or epochs that it was given; None where there is no such thing."""

    def predict(self, numeric: Columns, categorical: Columns) -> NDArray[Any]:
        """Answer by the library that trained it, the truth that the packaged graph is held to.

        Args:
            numeric: float32 (rows, numeric features); None where there are none.
            categorical: strings (rows, categorical features); None where there are none.

        Returns:
            float64 (rows, width), as `perennial.packaging.signature` says.
        """

    def to_onnx(self) -> ModelProto:
        """Write the model and its preprocessing as one graph."""

    def to_source(self) -> bytes:
        """Write the model and its preprocessing in a format of its library; see `source`."""


class Estimator(Protocol):
    """A family of models."""

    name: EstimatorName
    source_file: str
    """What a file of `FittedModel.to_source` is called."""

    def from_source(self, data: bytes) -> FittedModel:
        """Read what `FittedModel.to_source` wrote; see `source`."""

    def cost(self, rows: int, columns: int, width: int) -> float:
        """Guess the seconds of one fit; only the ratio to another guess is relied on."""

    def fit(self, data: TrainingSet, *, seed: int, rounds: int | None = None) -> FittedModel:
        """Fit on all rows of ``data``.

        Args:
            data: labelled rows in time order.
            seed: of everything random.
            rounds: boosting rounds or epochs. None: as many as do best in trials on forward folds
                of these rows.
        """

    def trial(self, fold: Fold, *, seed: int, behind: Behind | None = None) -> FoldTrial | None:
        """Learn from the older rows of a fold, and see what that does on the newer ones.

        Args:
            behind: asked after a glance by a family that takes long; None: nobody else competes.

        Returns:
            None where it has been behind, and was given up.
        """

    def rounds(self, trials: Sequence[FoldTrial]) -> int | None:
        """Choose by trials in how many rounds to fit; None where there is no such thing."""


def load_estimator(name: EstimatorName) -> Estimator:
    """Import a family with its libraries: seconds for scikit-learn and torch, the first time."""
    estimator: Estimator = import_module(f"perennial.training.{name}").ESTIMATOR
    return estimator


def in_chunks(rows: int, size: int = 20_000) -> list[slice]:
    """Cut rows into slices that keep a dense design matrix small; at least one slice."""
    return [slice(start, start + size) for start in range(0, max(rows, 1), size)]


def both(numeric: Columns, categorical: Columns) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give inputs without features as arrays without columns: float32, and strings as objects."""
    if numeric is None and categorical is None:
        raise ValueError("a model has features of one kind at least")
    rows = len(numeric) if numeric is not None else len(categorical)  # type: ignore[arg-type]
    return (
        np.empty((rows, 0), dtype=np.float32) if numeric is None else numeric,
        np.empty((rows, 0), dtype=object) if categorical is None else categorical,
    )


def or_none(numeric: NDArray[Any], categorical: NDArray[Any]) -> tuple[Columns, Columns]:
    """Give arrays without columns as None: what `both` takes, and what models answer."""
    return numeric if numeric.shape[1] else None, categorical if categorical.shape[1] else None
