"""The range that a number may have: what only an error leaves, learned from sound rows.

How far values may go beyond what was seen is read off the values: the width of their bulk, the
length of their tail, and how far extremes have moved from one part of the reference to the next. A
season or a trend moves them far and gets room; a bound that every part keeps to is a firm one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_ROOM = 1.5
"""How many times the bulk's width, or the tail's length, values may go beyond what was seen."""
_PARTS = 8
_ROWS_A_PART = 10
_BULK = (0.01, 0.99)
_MOVES = 5.0
"""How many times as far as extremes have moved within the reference they may move beyond it."""
_FIRM = 0.1
"""Extremes that move by less than this share of the bulk keep to a bound."""
_CODES = 20
"""So few different whole numbers may be codes; a new one may lie anywhere beyond."""
_CODE_ROOM = 5.0
_FULL = (1.0, 100.0)
"""What shares and percentages do not go beyond."""

Floats = NDArray[np.float64]


class Range(NamedTuple):
    """From the least to the most that a sound value has."""

    low: float
    high: float


def learn_range(values: Floats) -> Range:
    """Learn a range from finite values in time order; there has to be one.

    Zero is the least where no value is below, the least of each part is nearly the same, and it is
    near zero or a whole number, as a count is; 1 or 100 is the most where none is above, most parts
    reach it, and some lie below: a month that is always 1 is no share.
    """
    least, most = float(values.min()), float(values.max())
    low_end, high_end = np.quantile(values, _BULK)
    bulk = float(high_end - low_end)
    parts = np.array_split(values, max(1, min(_PARTS, len(values) // _ROWS_A_PART)))
    lows, highs = (np.array([f(part) for part in parts]) for f in (np.min, np.max))
    down = max(_ROOM * max(bulk, low_end - least), _MOVES * (float(np.median(lows)) - least))
    up = max(_ROOM * max(bulk, most - high_end), _MOVES * (most - float(np.median(highs))))
    whole = bool((values == np.round(values)).all())
    if least == most or (whole and len(np.unique(values)) <= _CODES):
        down = up = _CODE_ROOM * max(most - least, abs(most), 1e-9)
    low, high = least - down, most + up
    near = _FIRM * bulk
    if least >= 0 and np.median(lows) - least <= near and (whole or least <= near):
        low = max(low, 0.0)
        # Amounts vary by factors: as far beyond the most as that tail lies beyond the middle.
        middle = float(np.median(values))
        high = max(high, most * high_end / middle) if middle > 0 else high
    if 0 <= least < most and most in _FULL and (highs == most).mean() > 0.5:
        high = most
    return Range(_short(low, down=True), _short(high, down=False))


def _short(value: float, *, down: bool) -> float:
    """Four significant digits, rounded outwards: the suite is read by people."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (np.floor(np.log10(abs(value))) - 3)
    steps = np.floor(value / unit) if down else np.ceil(value / unit)
    return float(f"{steps * unit:.4g}")
