"""What of a frame is a feature, and what its target says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.errors import TrainingError
from perennial.evaluation.targets import encode_labels
from perennial.packaging.signature import Feature, FeatureKind, canonical_label
from perennial.spec import PipelineSpec, Task

_NUMBERS = {"boolean", "integer", "floating", "mixed-integer-float", "decimal", "empty"}
_TIMES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"}


def infer_features(frame: pd.DataFrame, spec: PipelineSpec) -> tuple[Feature, ...]:
    """Take every column as a feature that is not target, time or ignored.

    Numbers and bools are numeric, also in a column of objects; so is a column without any value.
    Strings, categories and mixtures are categorical. Dates and times are left out.

    Raises:
        TrainingError: no column is left.
    """
    kinds = {name: _kind(frame[name]) for name in _candidates(frame, spec)}
    features = tuple(Feature(name=name, kind=kind) for name, kind in kinds.items() if kind)
    if not features:
        raise TrainingError(
            f"there is no feature: beside target, time and ignored columns, {spec.name} has no "
            "column of numbers or strings"
        )
    return features


def infer_context(frame: pd.DataFrame, spec: PipelineSpec) -> tuple[str, ...]:
    """Name what a request may carry beside the features: time, ignored columns, dates."""
    named = [] if spec.time is None else [spec.time]
    named += spec.ignore
    dates = [name for name in _candidates(frame, spec) if _kind(frame[name]) is None]
    return tuple(dict.fromkeys([*named, *dates]))


def encode_target(y: pd.Series[Any], task: Task) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Bring a target without missing values into the form that estimators and metrics take.

    Returns:
        For regression, float64 values (rows,) and no classes. For classification, int64 indices
        (rows,) into the classes: the canonical labels, sorted, as numbers where all are numbers.

    Raises:
        TrainingError: no rows, a missing label, a single class, more than two for binary, or a
            regression target that is no finite number.
    """
    if len(y) == 0:
        raise TrainingError(f"no labelled rows: {y.name!r} holds no value to learn from")
    if y.isna().any():
        raise TrainingError(
            f"{int(y.isna().sum())} of {len(y)} rows have no label in {y.name!r}: drop them first"
        )
    if task == "regression":
        return _values(y), ()
    classes = sort_labels({canonical_label(value) for value in y.tolist()})
    if len(classes) == 1:
        raise TrainingError(f"one class only: every label in {y.name!r} is {classes[0]!r}")
    if task == "binary" and len(classes) > 2:
        raise TrainingError(
            f"{y.name!r} has {len(classes)} classes ({_some(classes)}) but the task is binary: "
            "mend the source, or write task: multiclass"
        )
    return encode_labels(y, classes), classes


def sort_labels(labels: set[str]) -> tuple[str, ...]:
    """Sort canonical labels: by value where all are numbers, else as text."""
    numbers = {label: _number(label) for label in labels}
    if all(math.isfinite(number) for number in numbers.values()):
        return tuple(sorted(labels, key=lambda label: (numbers[label], label)))
    return tuple(sorted(labels))


def _candidates(frame: pd.DataFrame, spec: PipelineSpec) -> list[str]:
    apart = {spec.target, spec.time, *spec.ignore}
    return [name for name in frame.columns if name not in apart]


def _kind(column: pd.Series[Any]) -> FeatureKind | None:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "numeric"
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "categorical"
    content = pd.api.types.infer_dtype(column, skipna=True)
    if content in _TIMES:
        return None
    return "numeric" if content in _NUMBERS else "categorical"


def _values(y: pd.Series[Any]) -> NDArray[Any]:
    is_number = pd.api.types.is_numeric_dtype(y.dtype)
    if not is_number and pd.api.types.infer_dtype(y) not in _NUMBERS:
        example = next(value for value in y.tolist() if not isinstance(value, int | float))
        raise TrainingError(
            f"the task is regression but {y.name!r} holds {example!r}, which is no number: "
            "write task: multiclass, or choose another target"
        )
    values: NDArray[Any] = pd.to_numeric(y).to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise TrainingError(f"{y.name!r} holds an infinite value: take such rows out")
    return values


def _number(label: str) -> float:
    try:
        return float(label)
    except ValueError:
        return math.nan


def _some(labels: tuple[str, ...]) -> str:
    return ", ".join(labels[:5]) + (", ..." if len(labels) > 5 else "")
