"""What windows come to: sums over their rows, from which every statistic follows.

Sums of parts add up, so a window of any length can be read piece by piece in little memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.drift.columns import CategoricalColumn, Column, NumericColumn

Floats = NDArray[Any]

_POWERS = 3


@dataclass(frozen=True)
class ColumnSums:
    """One column of B windows."""

    present: Floats
    """(B,): rows with a value."""
    counts: Floats
    """(B, bins): rows in each of the column's bins."""
    raw: Floats
    """(B, 2): sums of a numeric column's values and their squares; zeros for a category."""
    powers: Floats
    """(B, 3): sums of the first powers of a numeric column's standardised values."""

    def __add__(self, other: ColumnSums) -> ColumnSums:
        return ColumnSums(
            self.present + other.present,
            self.counts + other.counts,
            self.raw + other.raw,
            self.powers + other.powers,
        )

    def together(self) -> ColumnSums:
        """All windows as one."""
        parts = self.present, self.counts, self.raw, self.powers
        return ColumnSums(*(part.sum(axis=0, keepdims=True) for part in parts))


@dataclass(frozen=True)
class PairSums:
    """How columns of B windows go together; each (B, d, d), over the rows where both have a value.

    ``sums[b, i, j]`` is the sum of column i, ``squares[b, i, j]`` that of its squares.
    """

    rows: Floats
    sums: Floats
    squares: Floats
    products: Floats

    def __add__(self, other: PairSums) -> PairSums:
        return PairSums(
            self.rows + other.rows,
            self.sums + other.sums,
            self.squares + other.squares,
            self.products + other.products,
        )

    def together(self) -> PairSums:
        """All windows as one."""
        parts = self.rows, self.sums, self.squares, self.products
        return PairSums(*(part.sum(axis=0, keepdims=True) for part in parts))

    def correlations(self) -> Floats:
        """Correlation of each pair in each window (B, d, d); NaN where it is undefined."""
        n = np.maximum(self.rows, 1.0)
        mean = self.sums / n
        other = mean.swapaxes(1, 2)
        variance = self.squares / n - mean**2
        both = variance * variance.swapaxes(1, 2)
        covariance = self.products / n - mean * other
        clear = both > 1e-18
        found: Floats = np.where(clear, covariance / np.sqrt(np.where(clear, both, 1.0)), np.nan)
        return found


@dataclass(frozen=True)
class Summary:
    """B windows."""

    rows: Floats
    """(B,)."""
    columns: tuple[ColumnSums, ...]
    pairs: PairSums

    def __add__(self, other: Summary) -> Summary:
        return Summary(
            self.rows + other.rows,
            tuple(a + b for a, b in zip(self.columns, other.columns, strict=True)),
            self.pairs + other.pairs,
        )

    def together(self) -> Summary:
        """All windows as one."""
        columns = tuple(column.together() for column in self.columns)
        return Summary(self.rows.sum(keepdims=True), columns, self.pairs.together())


def summarise(
    frame: pd.DataFrame,
    columns: Sequence[Column],
    joint: Sequence[int],
    bounds: NDArray[Any] | None = None,
) -> Summary:
    """Sum up a frame, or each of the windows that it is cut into.

    Args:
        frame: a column a feature.
        columns: the columns to sum up, as the reference knows them.
        joint: numbers of those whose pairs are summed up too.
        bounds: (B + 1,) row numbers at which windows begin, and the end; None: one window.
    """
    bounds = np.array([0, len(frame)]) if bounds is None else bounds
    place = {number: at for at, number in enumerate(joint)}
    together = np.full((bounds[-1] - bounds[0], len(joint)), np.nan)
    sums = []
    for number, column in enumerate(columns):
        values = column.read(frame[column.name])[bounds[0] : bounds[-1]]
        found, standard = _column(values, column, bounds - bounds[0])
        sums.append(found)
        if number in place:
            together[:, place[number]] = standard
    pairs = _pairs(together, bounds - bounds[0])
    return Summary(np.diff(bounds).astype(np.float64), tuple(sums), pairs)


def add_up(parts: Iterable[Summary]) -> Summary:
    """Add the sums of a window's parts.

    Raises:
        TypeError: there are none.
    """
    return reduce(Summary.__add__, parts)


def _column(values: Floats, column: Column, bounds: NDArray[Any]) -> tuple[ColumnSums, Floats]:
    """Sum a column up; also its values as pairs are made of them, NaN where there is none."""
    absent = np.isnan(values)
    some_absent = bool(absent.any())
    codes = column.codes(values)
    blocks = len(bounds) - 1
    if blocks > 1:
        codes = np.where(
            absent, -1, codes + np.repeat(np.arange(blocks), np.diff(bounds)) * column.bins
        )
    counts = np.bincount(
        codes[codes >= 0] if some_absent else codes, minlength=blocks * column.bins
    )
    if isinstance(column, NumericColumn):
        standard = column.standardise(values)
        filled, known = (
            (np.where(absent, 0.0, standard), np.where(absent, 0.0, values))
            if some_absent
            else (standard, values)
        )
        squares = filled * filled
        powers = [_sum(filled, bounds), _sum(squares, bounds), _sum(squares * filled, bounds)]
        raw = [_sum(known, bounds), _sum(known * known, bounds)]
    else:
        standard = np.where(absent, np.nan, (values == _usual_level(column)).astype(np.float64))
        powers, raw = [np.zeros(blocks)] * _POWERS, [np.zeros(blocks)] * 2
    sums = ColumnSums(
        present=np.diff(bounds) - _sum(absent.astype(np.float64), bounds),
        counts=counts.reshape(blocks, column.bins).astype(np.float64),
        raw=np.column_stack(raw),
        powers=np.column_stack(powers),
    )
    return sums, standard


def _usual_level(column: Column) -> int:
    return column.usual if isinstance(column, CategoricalColumn) else 0


def _pairs(values: Floats, bounds: NDArray[Any]) -> PairSums:
    absent = np.isnan(values)
    some_absent = bool(absent.any())
    known = np.where(absent, 0.0, values) if some_absent else values
    mask = (~absent).astype(np.float64) if some_absent else None
    shape = (len(bounds) - 1, values.shape[1], values.shape[1])
    rows, sums, squares, products = (np.zeros(shape) for _ in range(4))
    for b, (low, high) in enumerate(pairwise(bounds)):
        x = known[low:high]
        products[b] = x.T @ x
        if mask is None:
            rows[b] = high - low
            sums[b] = x.sum(axis=0)[:, None]
            squares[b] = np.diag(products[b])[:, None]
        else:
            there = mask[low:high]
            rows[b] = there.T @ there
            sums[b] = x.T @ there
            squares[b] = (x * x).T @ there
    return PairSums(rows, sums, squares, products)


def _sum(values: Floats, bounds: NDArray[Any]) -> Floats:
    """Sum over each window (B,)."""
    return np.array([values[low:high].sum() for low, high in pairwise(bounds)])
