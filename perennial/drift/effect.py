"""How large a shift is: the population stability index, and what is usual of a stream.

PSI is the symmetrised Kullback-Leibler divergence of binned shares (Kullback & Leibler, 1951; as an
index, Siddiqi, "Credit Risk Scorecards", 2006). Between two samples of one distribution it is not
zero but about (bins - 1) (1/n + 1/m) (Yurdakul, "Statistical Properties of the Population Stability
Index", 2018); that much is taken off here, so that small windows do not look shifted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_HALF = 0.5
MIN_BLOCKS = 4
"""With fewer windows in it a reference says nothing of what is usual."""


def stability_index(reference: NDArray[Any], window: NDArray[Any]) -> float:
    """PSI between two rows of bin counts, freed of its expectation under no change; at least 0.

    Args:
        reference: counts (bins,).
        window: counts in the same bins.
    """
    used = (reference + window) > 0
    bins, n, m = int(used.sum()), reference.sum(), window.sum()
    if bins < 2 or n == 0 or m == 0:
        return 0.0
    p = (reference[used] + _HALF) / (n + _HALF * bins)
    q = (window[used] + _HALF) / (m + _HALF * bins)
    raw = float(np.sum((p - q) * np.log(p / q)))
    return max(0.0, raw - (bins - 1) * float(1 / n + 1 / m))


def history_effect(codes: NDArray[Any], bins: int, block: int) -> float:
    """The largest PSI of a block of the reference against the rest of it.

    Args:
        codes: bin numbers (rows,) in time order, negative where there is no value.
        bins: how many bins there are.
        block: rows of a block, as long as the windows that will be tested.

    Returns:
        0 where the reference holds fewer than `MIN_BLOCKS` blocks.
    """
    blocks = len(codes) // block if block else 0
    if blocks < MIN_BLOCKS:
        return 0.0
    parts = np.array_split(codes, blocks)
    counts = np.stack([np.bincount(part[part >= 0], minlength=bins) for part in parts])
    total = counts.sum(axis=0)
    return max(stability_index(total - own, own) for own in counts)
