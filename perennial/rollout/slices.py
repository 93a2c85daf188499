"""Slices of the rows that are held to the margin on their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_VALUES = 12
"""A column of more numbers than this is cut into quarters."""


def slice_masks(rows: pd.DataFrame, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Say which rows lie in which slice: one slice a value of each column, missing ones too.

    Args:
        rows: with the columns; one that they lack has no slices.

    Returns:
        ``column = value`` and a mask (rows,).
    """
    masks = {}
    for column in columns:
        if column in rows.columns and len(rows):
            codes, values = pd.factorize(_values(rows[column]), use_na_sentinel=False)
            for code, value in enumerate(values):
                name = "missing" if pd.isna(value) else value
                masks[f"{column} = {name}"] = np.asarray(codes == code)
    return masks


def _values(column: pd.Series[Any]) -> pd.Series[Any]:
    if pd.api.types.is_numeric_dtype(column) and column.nunique() > _VALUES:
        quarters: pd.Series[Any] = pd.qcut(column, 4, duplicates="drop").astype(object)
        return quarters
    return column
