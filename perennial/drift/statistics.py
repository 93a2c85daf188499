"""The statistics by which windows are compared, and how each varies from row to row.

Of a number: location, spread and skewness of its standardised values. Of a category: the share of
each frequent level. Of any column: the share of missing values. Shares by Anscombe's arcsine, whose
variance is the same for all of them (Biometrika 35, 1948). Of a pair of columns: Fisher's z of
their correlation (Metron 1, 1921).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.drift.columns import NumericColumn
from perennial.drift.summary import ColumnSums, PairSums

Floats = NDArray[Any]

_LEAST_SPREAD = 1e-3
"""In standardised units; what varies less counts as constant."""
_LEAST_ROWS = 8
"""With fewer values there is no spread and no correlation."""
_LEAST_UNIT = 0.05
_CLIP = 0.999


class Kind(IntEnum):
    """Statistics that are alike, across features."""

    MEAN = 0
    """Of a number; a category's share is one, too."""
    SPREAD = 1
    SKEWNESS = 2
    MISSING = 3
    CORRELATION = 4


def shape_units(standard: Floats) -> Floats:
    """Variance that one independent row adds to location, spread and skewness (3,).

    Args:
        standard: a reference's standardised values without NaN; by their influence functions.
    """
    if not len(standard):
        return np.ones(3)
    floor = max(_LEAST_UNIT**2, 1 / len(standard))
    spread = max(float(standard.std()), _LEAST_SPREAD)
    z = (standard - standard.mean()) / spread
    skewness, kurtosis = float(np.mean(z**3)), float(np.mean(z**4))
    skew = z**3 - skewness - 3 * z - 1.5 * skewness * (z**2 - 1)
    return np.array(
        [
            max(float(standard.var()), floor),
            max((kurtosis - 1) / 4, _LEAST_UNIT),
            max(float(np.mean(skew**2)), _LEAST_UNIT),
        ]
    )


def shape_of(column: NumericColumn, sums: ColumnSums, units: Floats) -> tuple[Floats, Floats]:
    """Location, spread (its logarithm) and skewness of B windows, and the rows behind: (B, K) each.

    A column with one or two different values has a location only: the rest follows from it.
    """
    n = sums.present
    count = np.maximum(n, 1.0)
    one, two, three = (sums.powers / count[:, None]).T
    variance = np.maximum(two - one**2, 0.0)
    # The logarithm of a sample's variance is too small in the mean; so much is added.
    bias = units[1] / count
    spread = 0.5 * np.log(
        np.maximum(variance * count / np.maximum(count - 1, 1.0), _LEAST_SPREAD**2)
    )
    skewness = (three - 3 * one * two + 2 * one**3) / np.maximum(variance, _LEAST_SPREAD**2) ** 1.5
    values = np.column_stack([one, spread + bias, skewness])
    rows = np.column_stack([n, *[np.where(n >= _LEAST_ROWS, n, 0.0)] * 2])
    width = 1 if column.distinct <= 2 else 3
    return values[:, :width], rows[:, :width]


def shares_of(counts: Floats, total: Floats) -> Floats:
    """Variance-stabilised shares (B, K) of counts (B, K) among totals (B,)."""
    found: Floats = np.arcsin(np.sqrt((counts + 0.375) / (total[:, None] + 0.75)))
    return found


def shares_from(values: Floats) -> Floats:
    """The shares of which these are the variance-stabilised values."""
    found: Floats = np.sin(np.clip(values, 0.0, np.pi / 2)) ** 2
    return found


def associations_of(pairs: PairSums) -> tuple[Floats, Floats]:
    """Fisher's z of each pair's correlation in B windows, and the rows behind: (B, pairs) each."""
    upper = np.triu_indices(pairs.rows.shape[1], 1)
    correlation = pairs.correlations()[:, *upper]
    rows = pairs.rows[:, *upper]
    there = ~np.isnan(correlation) & (rows >= _LEAST_ROWS)
    values = np.arctanh(np.clip(np.where(there, correlation, 0.0), -_CLIP, _CLIP))
    return values, np.where(there, rows, 0.0)


def correlation_effect(before: float, after: float, rows: float, known: float) -> float:
    """Divergence of two normal laws with these correlations, freed of what chance adds.

    The symmetrised Kullback-Leibler divergence, which the stability index is of binned shares.

    Args:
        rows: how many the later correlation rests on.
        known: how many the earlier one rests on.
    """
    apart = 1 - before * after
    raw = apart / (1 - before**2) + apart / (1 - after**2) - 2
    chance = (1 + before**2) * (1 / max(rows, 1.0) + 1 / max(known, 1.0))
    return max(0.0, raw - chance)
