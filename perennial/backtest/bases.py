"""A stream in the form that models take, and the models that are fitted on spans of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.evaluation.trivial import trivial_output
from perennial.evaluation.yardstick import encode_target, target_classes
from perennial.packaging.predictor import encode_frame
from perennial.packaging.signature import Signature
from perennial.spec import PipelineSpec
from perennial.training.columns import infer_features
from perennial.training.estimator import Columns, TrainingSet, both, or_none
from perennial.training.hist_gradient_boosting import Growth

Rows = NDArray[np.intp]

BASE_ROUNDS = 60
"""Boosting rounds of a base, of which a search would cost more than it gains here."""


class Model(Protocol):
    """The part of `perennial.training.estimator.FittedModel` that a replay needs."""

    def predict(self, numeric: Columns, categorical: Columns) -> NDArray[Any]:
        """Answer rows: float (rows, width)."""
        ...


class Fit(Protocol):
    """Fits a base."""

    def __call__(self, data: TrainingSet, *, seed: int, begun: Growth | None = None) -> Model:
        """Fit on labelled rows in time order, of two classes at least.

        Args:
            begun: a quick model of the same rows and seed, if there is one.
        """
        ...


def fit_booster(data: TrainingSet, *, seed: int, begun: Growth | None = None) -> Model:
    """Fit the pipeline's own boosted trees, of a fixed number of rounds; see `Fit`."""
    return (begun or Growth(data, seed=seed)).until(BASE_ROUNDS)


@dataclass(frozen=True)
class Constant:
    """What answers while there is nothing to learn from: one output row."""

    output: NDArray[Any]

    def predict(self, numeric: Columns, categorical: Columns) -> NDArray[Any]:
        """Answer every row alike."""
        return np.tile(self.output, (len(both(numeric, categorical)[0]), 1))


@dataclass(frozen=True, eq=False)
class Stream:
    """A frame in time order, encoded once."""

    frame: pd.DataFrame
    spec: PipelineSpec

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """All class labels of the stream; empty for regression."""
        if self.spec.task == "regression":
            return ()
        return target_classes(self.frame[self.spec.target])

    @cached_property
    def width(self) -> int:
        """Columns of an output over all classes."""
        return len(self.classes) if self.spec.task == "multiclass" else 1

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Which rows have a label."""
        known: NDArray[np.bool_] = self.frame[self.spec.target].notna().to_numpy()
        return known

    @cached_property
    def y(self) -> NDArray[Any]:
        """Values or class indices (rows,); of a row without a label it says nothing."""
        target = self.frame[self.spec.target]
        regression = self.spec.task == "regression"
        y = np.zeros(len(target), dtype=np.float64 if regression else np.int64)
        y[self.known] = encode_target(target[self.known], self.spec, self.classes)
        return y

    @cached_property
    def inputs(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Numeric and categorical columns of all rows."""
        features = infer_features(self.frame, self.spec)
        signature = Signature(task=self.spec.task, target=self.spec.target, features=features)
        return both(*encode_frame(signature, self.frame))

    def labelled(self, low: int, high: int) -> Rows:
        """Numbers of the rows from ``low`` to ``high`` - 1 that have a label."""
        found: Rows = low + np.flatnonzero(self.known[low:high])
        return found

    def take(self, rows: Rows) -> TrainingSet:
        """Give rows as models take them, their targets as indices into all classes."""
        numeric, categorical = self.inputs
        return TrainingSet(
            task=self.spec.task,
            metric=self.spec.metric,
            width=self.width,
            numeric=numeric[rows],
            categorical=categorical[rows],
            y=self.y[rows],
        )


@dataclass(frozen=True, eq=False)
class Base:
    """A fitted model, and the classes that it knows."""

    model: Model
    classes: NDArray[np.intp]
    """Indices into the stream's classes, of a multiclass model's columns; else empty."""
    seen: NDArray[Any]
    """The values or class indices that it was fitted on."""

    def output(self, stream: Stream, rows: NDArray[np.intp] | slice) -> NDArray[np.float32]:
        """Answer rows in its own classes, (rows, width) in the precision of a packaged graph."""
        numeric, categorical = (columns[rows] for columns in stream.inputs)
        return self.model.predict(*or_none(numeric, categorical)).astype(np.float32)

    def spread(self, output: NDArray[Any], width: int) -> NDArray[Any]:
        """Bring an output from its own classes into all ``width`` of them; unknown ones get 0."""
        if not len(self.classes):
            return output
        wide = np.zeros((len(output), width), dtype=output.dtype)
        wide[:, self.classes] = output
        return wide

    def known_to_it(self, data: TrainingSet) -> tuple[TrainingSet, NDArray[np.bool_]]:
        """Leave out rows of classes it does not know; give the rest in its own terms, and a mask
        of the rows kept."""
        if not len(self.classes):
            return data, np.ones(len(data), dtype=bool)
        kept = np.isin(data.y, self.classes)
        mine = data.take(kept)
        y = np.searchsorted(self.classes, mine.y)
        return replace(mine, y=y, width=len(self.classes)), kept


def fit_base(
    stream: Stream,
    rows: Rows,
    fit: Fit,
    begun: Growth | None = None,
    half_life: int | None = None,
) -> Base:
    """Fit on labelled rows; where there is no second class (or value) it answers a constant.

    Args:
        begun: a quick model of these rows, in which every class occurs; see `Fit`.
        half_life: see `TrainingSet`.
    """
    data, spec = replace(stream.take(rows), half_life=half_life), stream.spec
    present = np.unique(data.y)
    classes = np.empty(0, dtype=np.intp)
    if len(present) < 2:
        shares = trivial_output(spec.task, spec.metric, data.y, stream.width)
        return Base(Constant(shares), classes, present)
    if spec.task == "multiclass":
        classes = present.astype(np.intp)
        data = replace(data, y=np.searchsorted(classes, data.y), width=len(classes))
    return Base(fit(data, seed=spec.model.seed, begun=begun), classes, present)
