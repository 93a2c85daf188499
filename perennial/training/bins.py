"""Bins of scikit-learn's boosted trees, found with one sort a column at most.

scikit-learn ranks the rows of each column and sorts its values once more, a large part of a fit of
few trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble._hist_gradient_boosting.common import ALMOST_INF

_MANY = 2_000
"""Rows from which on it is worth a look whether the values of a column recur."""
_LOOKED_AT = 200


def set_bins(mapper: Any, thresholds: Sequence[NDArray[Any]]) -> None:
    """Leave scikit-learn's ``_BinMapper`` as its fit would, with these thresholds.

    Args:
        mapper: changed in place.
        thresholds: floats, growing, one array a column: a bin holds what is not above its own.
    """
    mapper.is_categorical_ = np.zeros(len(thresholds), dtype=np.uint8)
    mapper.missing_values_bin_idx_ = mapper.n_bins - 1
    mapper.bin_thresholds_ = list(thresholds)
    mapper.n_bins_non_missing_ = np.array([len(t) + 1 for t in thresholds], dtype=np.uint32)


def find_thresholds(column: NDArray[Any], bins: int) -> NDArray[np.float64]:
    """Find scikit-learn's thresholds, (at most ``bins`` - 1,): between as many rows each.

    Args:
        column: floats (rows,), a value at least; NaN is a missing one.
    """
    values, counts = distinct(column)
    if len(values) <= bins:
        with np.errstate(invalid="ignore"):
            found = (values[1:] + values[:-1]) / 2
        found = np.where(np.isnan(found), 0.0, found)  # between the two infinities
    else:
        rows_to = np.cumsum(counts)
        places = rows_to[-1] * (np.linspace(0, 100, bins + 1)[1:-1] / 100) - 1
        below = np.floor(places).astype(np.intp)
        lower, upper = (
            values[np.searchsorted(rows_to, row, side="right")] for row in (below, below + 1)
        )
        found = np.unique(np.where(places == below, (lower + upper) / 2, upper))
    finite: NDArray[np.float64] = np.minimum(found, ALMOST_INF)
    return finite


def distinct(column: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the values of a column, growing, and how many rows each has; what is missing is none.

    Args:
        column: floats (rows,); NaN is a missing one.
    """
    some = column[:: max(1, len(column) // _LOOKED_AT)]
    if len(column) >= _MANY and len(np.unique(some)) < len(some) / 2:  # hash all and sort few
        numbers, values = pd.factorize(column)
        counts = np.bincount(numbers + 1, minlength=len(values) + 1)[1:]  # missing ones are -1
        order = np.argsort(values)
        return values[order].astype(np.float64), counts[order]
    values, counts = np.unique(column, return_counts=True)
    known = ~np.isnan(values)
    return values[known].astype(np.float64), counts[known]
