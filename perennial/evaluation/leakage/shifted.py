"""A feature that is the target of other rows: which, and whether they were known by then."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from perennial.evaluation.leakage.target import Floats, standardised


class Shift(NamedTuple):
    """Where a feature agrees best with the target."""

    ahead: int
    """Rows that the target lies behind the feature in time: it is of later rows."""
    unknown: float
    """Share of the feature that the target explains there, where its truth is not known."""
    known: float
    """The same at the best place whose truth is known."""


def best_shift(feature: Floats, target: Floats, lag: int) -> Shift:
    """Correlate a feature with the target of every row up to a quarter of all rows away.

    Args:
        feature: (rows,), without missing values.
        target: (rows, columns), in time order.
        lag: rows by which the truth is late.
    """
    rows = len(feature)
    size = 1 << (2 * rows - 1).bit_length()
    reach = rows // 4
    shifts = np.arange(-reach, reach + 1)
    x = standardised(feature[:, None])[:, 0]
    ones = np.fft.rfft(np.ones(rows), size)
    shares = np.zeros(len(shifts))

    def sums(a: NDArray[Any], b: NDArray[Any]) -> Floats:
        """Sum of a[t] b[t + shift] for each shift."""
        both: Floats = np.fft.irfft(np.conj(a) * b, size)[shifts]
        return both

    fx, fxx = np.fft.rfft(x, size), np.fft.rfft(x**2, size)
    pairs = rows - np.abs(shifts)
    for y in target.T:
        fy, fyy = np.fft.rfft(y, size), np.fft.rfft(y**2, size)
        mean_x, mean_y = sums(fx, ones) / pairs, sums(ones, fy) / pairs
        cov = sums(fx, fy) / pairs - mean_x * mean_y
        var = (sums(fxx, ones) / pairs - mean_x**2) * (sums(ones, fyy) / pairs - mean_y**2)
        shares = np.maximum(shares, np.where(var > 1e-9, cov**2 / np.maximum(var, 1e-9), 0.0))
    late = shifts > -lag
    best = int(np.argmax(np.where(late, shares, -1.0)))
    return Shift(int(shifts[best]), float(shares[best]), float(shares[~late].max(initial=0.0)))
