"""The target and the features as numbers, for tests of leakage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.packaging.signature import canonical_label
from perennial.spec import Task

_MOST_CLASSES = 6

Floats = NDArray[np.float64]


def target_columns(labels: pd.Series, task: Task) -> Floats:
    """Write the target as float64 (rows, columns), each of mean 0 and variance 1.

    One column for regression and for two classes; for more, one for each of the commonest.
    """
    if task == "regression":
        columns = pd.to_numeric(labels).to_numpy(np.float64)[:, None]
    else:
        names = labels.map(canonical_label)
        kept = names.value_counts().index[:_MOST_CLASSES]
        wanted = kept[:1] if len(kept) == 2 else kept
        columns = np.column_stack([(names == name).to_numpy(np.float64) for name in wanted])
    return standardised(columns)


def standardised(columns: Floats) -> Floats:
    """Shift and scale columns to mean 0 and variance 1; a constant one becomes 0."""
    centred = columns - columns.mean(axis=0)
    scale = centred.std(axis=0)
    result: Floats = centred / np.where(scale > 0, scale, 1.0)
    return result


def as_numbers(column: pd.Series) -> Floats | None:
    """A column as float64 with NaN where it is missing; None for text."""
    if pd.api.types.is_datetime64_any_dtype(column) or isinstance(
        column.dtype, pd.CategoricalDtype
    ):
        return None
    if not pd.api.types.is_numeric_dtype(column):
        if pd.api.types.infer_dtype(column, skipna=True) not in ("boolean", "integer", "floating"):
            return None
        column = pd.to_numeric(column)
    values: NDArray[Any] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)
