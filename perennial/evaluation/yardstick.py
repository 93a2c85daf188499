"""HistGradientBoosting with default parameters on the raw features: the yardstick's model."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.evaluation.trivial import trivial_output
from perennial.packaging.signature import Feature, canonical_label
from perennial.spec import PipelineSpec

_EPOCH = pd.Timestamp("1970-01-01", tz="UTC")


def raw_features(frame: pd.DataFrame, spec: PipelineSpec) -> tuple[Feature, ...]:
    """List the columns a model may look at: all but target, time and ignored ones."""
    skip = {spec.target, spec.time, *spec.ignore}
    return tuple(
        Feature(name=str(name), kind="categorical" if _is_text(frame[name]) else "numeric")
        for name in frame.columns
        if name not in skip
    )


def _is_text(column: pd.Series) -> bool:
    return not (
        pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)
    )


def target_classes(column: pd.Series) -> tuple[str, ...]:
    """Class labels of a target, sorted as numbers where all of them are, else as text."""
    labels = {canonical_label(value) for value in column.dropna().unique()}
    try:
        return tuple(sorted(labels, key=float))
    except ValueError:
        return tuple(sorted(labels))


def encode_target(column: pd.Series, spec: PipelineSpec, classes: tuple[str, ...]) -> NDArray[Any]:
    """Write a target as `perennial.evaluation.metrics` wants it: (rows,), values or indices."""
    if spec.task == "regression":
        values: NDArray[Any] = column.to_numpy(dtype=np.float64)
        return values
    index = {label: i for i, label in enumerate(classes)}
    codes = column.map({value: index[canonical_label(value)] for value in column.unique()})
    encoded: NDArray[Any] = codes.to_numpy(dtype=np.intp)
    return encoded


@dataclass(frozen=True)
class Encoder:
    """Text columns as ordinals in the order of their values; unseen and missing ones as NaN."""

    features: tuple[Feature, ...]
    levels: dict[str, dict[str, int]]

    @classmethod
    def of(cls, frame: pd.DataFrame, features: tuple[Feature, ...]) -> Encoder:
        """Learn the levels of the text columns."""
        levels = {
            f.name: {
                level: i
                for i, level in enumerate(sorted(map(str, frame[f.name].dropna().unique())))
            }
            for f in features
            if f.kind == "categorical"
        }
        return cls(features, levels)

    def encode(self, frame: pd.DataFrame) -> NDArray[Any]:
        """Give float32 of shape (rows, features)."""
        columns = []
        for f in self.features:
            column = frame[f.name]
            if f.kind == "categorical":
                levels = self.levels[f.name]
                column = column.map({v: levels.get(str(v)) for v in column.dropna().unique()})
            elif pd.api.types.is_datetime64_any_dtype(column):
                column = (pd.to_datetime(column, utc=True) - _EPOCH).dt.total_seconds()
            columns.append(pd.to_numeric(column).to_numpy(dtype=np.float32, na_value=np.nan))
        return np.column_stack(columns) if columns else np.zeros((len(frame), 0), np.float32)


@dataclass(frozen=True)
class Yardstick:
    """A fitted yardstick model. ``cpu_seconds`` is what its fit took."""

    encoder: Encoder
    width: int
    constant: NDArray[Any]
    estimator: Any | None
    columns: NDArray[Any]
    cpu_seconds: float = field(compare=False)

    def predict(self, frame: pd.DataFrame) -> NDArray[Any]:
        """Answer ``frame``: float of shape (rows, width) as a packaged graph would."""
        if self.estimator is None:
            return np.repeat(self.constant[None, :], len(frame), axis=0)
        x = self.encoder.encode(frame)[:, self.columns]
        if not hasattr(self.estimator, "predict_proba"):
            values: NDArray[Any] = self.estimator.predict(x)[:, None]
            return values
        proba = np.zeros((len(frame), max(self.width, 2)))
        proba[:, self.estimator.classes_] = self.estimator.predict_proba(x)
        return proba if self.width > 1 else proba[:, 1:2]


def fit_yardstick(
    frame: pd.DataFrame, spec: PipelineSpec, classes: tuple[str, ...], *, seed: int = 0
) -> Yardstick:
    """Fit the yardstick on the labelled rows of ``frame``; one class only gives a constant model.

    Args:
        classes: all class labels (`target_classes`), empty for regression; those that ``frame``
            lacks get probability 0.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    started = time.process_time()
    frame = frame[frame[spec.target].notna()]
    y = encode_target(frame[spec.target], spec, classes)
    encoder = Encoder.of(frame, raw_features(frame, spec))
    x = encoder.encode(frame)
    # A column without a single value crashes the fit.
    columns = np.flatnonzero(~np.isnan(x).all(axis=0)) if len(x) else np.zeros(0, np.intp)
    width = len(classes) if spec.task == "multiclass" else 1
    constant = trivial_output(spec.task, spec.metric, y, width)
    estimator: Any = None
    if len(columns) and len(np.unique(y)) > 1:
        kind = (
            HistGradientBoostingRegressor
            if spec.task == "regression"
            else HistGradientBoostingClassifier
        )
        estimator = kind(random_state=seed).fit(x[:, columns], y)
    return Yardstick(encoder, width, constant, estimator, columns, time.process_time() - started)
