"""Where trees may split: at a few points a column, each in a gap between values.

scikit-learn's own choice may be the very value of a row. For a column that is another model's
output that is wrong: such an output moves in its last bits with the number of threads and the size
of a batch, and the row would be answered one way in the fit and another way in service. So each
split point lies in the widest gap near a quantile, out of reach of such noise. Besides, its own
choice takes scikit-learn longer than a tree, with weights far longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.training.bins import distinct
from perennial.training.hist_gradient_boosting import fill_empty_columns

MOST = 62
"""Split points a column: enough for small trees."""
MISSING = MOST + 1
"""Stands for the count of a missing value, as in scikit-learn's bins."""
NOISE = 2e-6
"""Of a model's output, as a share of its largest value: some units in the last place of float32."""


@dataclass(frozen=True)
class Counted:
    """Columns as counts of the split points below each value, which trees are grown on."""

    points: tuple[NDArray[Any], ...]
    """One float32 array a column."""
    counts: NDArray[Any]
    """uint8 (rows, columns), column by column; see `count_below`."""

    def beside(self, *others: Counted) -> Counted:
        """Put the columns of others of the same rows behind these."""
        parts = (self, *others)
        points = tuple(array for part in parts for array in part.points)
        return Counted(points, np.vstack([part.counts.T for part in parts]).T)


def count_columns(x: NDArray[Any], *, noise: float = 0.0) -> Counted:
    """Choose split points for each column of float32 (rows, columns), and count; see
    `find_split_points`."""
    x = fill_empty_columns(x)
    points = tuple(find_split_points(column, noise) for column in x.T)
    counts = np.empty(x.shape, dtype=np.uint8, order="F")
    for of_column, column, below in zip(counts.T, x.T, points, strict=True):
        of_column[:] = count_below(column, below)
    return Counted(points, counts)


def find_split_points(column: NDArray[Any], noise: float) -> NDArray[Any]:
    """Choose split points: float32 (points,), growing, none of them within ``noise`` of a value.

    Args:
        column: float32 (rows,); NaN is a missing value.
        noise: as a share of the largest value.
    """
    values, _ = distinct(column)
    values = values[np.isfinite(values)]
    gaps = np.diff(values)
    if not len(gaps):
        return np.empty(0, dtype=np.float32)
    widest = _widest_of_each(gaps, min(MOST, len(gaps)))
    kept = widest[gaps[widest] > 2 * noise * np.abs(values).max()]
    points = (values[kept] + gaps[kept] / 2).astype(np.float32)
    # Between neighbours in float32 there is no middle: what is not above the lower one is below.
    lower: NDArray[Any] = np.where(points < values[kept + 1], points, values[kept])
    return lower.astype(np.float32)


def _widest_of_each(gaps: NDArray[Any], blocks: int) -> NDArray[np.intp]:
    """Find the first of the widest gaps in each of so many blocks of nearly the same length."""
    size, longer = divmod(len(gaps), blocks)
    lengths = np.full(blocks, size)
    lengths[:longer] += 1
    starts = np.cumsum(lengths) - lengths
    places = np.flatnonzero(gaps == np.repeat(np.maximum.reduceat(gaps, starts), lengths))
    first: NDArray[np.intp] = places[np.searchsorted(places, starts)]
    return first


def count_below(column: NDArray[Any], points: NDArray[Any]) -> NDArray[Any]:
    """Count the split points below each value: uint8 (rows,), `MISSING` where there is none."""
    counts = np.searchsorted(points, column, side="left").astype(np.uint8)
    counts[np.isnan(column)] = MISSING
    return counts
