"""What changed in a column, in words."""

from __future__ import annotations

import numpy as np

from perennial.drift.columns import CategoricalColumn, Column
from perennial.drift.detector import Direction
from perennial.drift.summary import ColumnSums


def describe(
    column: Column, before: ColumnSums, after: ColumnSums, *, moved: bool | None = None
) -> tuple[Direction, str]:
    """Say how a column changed between two windows (B = 1) that have values.

    Args:
        moved: it is a number's location that changed most, not its shape; None: that is so where
            the mean moved by a tenth of a standard deviation or more.
    """
    if isinstance(column, CategoricalColumn):
        return "reshaped", _share(column, before, after)
    (mean_before, spread_before), (mean_after, spread_after) = _mean(before), _mean(after)
    text = f"mean {mean_before:.4g} -> {mean_after:.4g}"
    if moved is None:
        moved = abs(mean_after - mean_before) > 0.1 * spread_before
    if moved:
        return ("up" if mean_after > mean_before else "down"), text
    return "reshaped", f"{text}, spread {spread_before:.4g} -> {spread_after:.4g}"


def _mean(sums: ColumnSums) -> tuple[float, float]:
    one, two = sums.raw[0] / sums.present[0]
    return float(one), float(np.sqrt(max(two - one**2, 0.0)))


def _share(column: CategoricalColumn, before: ColumnSums, after: ColumnSums) -> str:
    shares = [sums.counts[0] / sums.present[0] for sums in (before, after)]
    most = int(np.argmax(np.abs(shares[1] - shares[0])))
    name = repr(column.levels[most]) if most < len(column.levels) else "rare or new values"
    return f"share of {name} {shares[0][most]:.1%} -> {shares[1][most]:.1%}"
