"""Bins of scikit-learn's boosted trees, found with one sort a column.

scikit-learn ranks the rows of each column and sorts its values once more, a large part of a fit of
few trees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble._hist_gradient_boosting.common import ALMOST_INF


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
    values = np.sort(column)  # what is missing comes last
    values = values[: len(values) - np.count_nonzero(np.isnan(values))].astype(np.float64)
    distinct = values[np.concatenate([[True], values[1:] != values[:-1]])]
    if len(distinct) <= bins:
        with np.errstate(invalid="ignore"):
            found = (distinct[1:] + distinct[:-1]) / 2
        found = np.where(np.isnan(found), 0.0, found)  # between the two infinities
    else:
        places = len(values) * (np.linspace(0, 100, bins + 1)[1:-1] / 100) - 1
        below = np.floor(places).astype(np.intp)
        above = values[below + 1]
        found = np.unique(np.where(places == below, (values[below] + above) / 2, above))
    finite: NDArray[np.float64] = np.minimum(found, ALMOST_INF)
    return finite
