"""Whether probabilities come true as often as they say.

The expected calibration error: rows are sorted into ten groups of equal size by the probability of
the class that the model votes for, and the groups' mean probabilities are held against how often
they came true (Naeini, Cooper & Hauskrecht, AAAI 2015). On few rows that is above zero for a
perfect model too, so what a perfect model would show is drawn and taken off (Brocker & Smith,
"Increasing the reliability of reliability diagrams", Weather and Forecasting 22, 2007).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_GROUPS = 10
_DRAWS = 200
_BLOCKS = 20


class Calibration(NamedTuple):
    """Calibration error beyond chance, and a lower and upper bound of it."""

    error: float
    low: float
    high: float


def calibration_error(
    y: NDArray[np.intp], output: NDArray[np.float64], level: float
) -> Calibration:
    """Measure how far probabilities lie from what came true.

    Args:
        y: class indices (rows,), in time order.
        output: probabilities (rows, 1) of the second class, or (rows, classes).
        level: one-sided confidence of each bound; from a bootstrap over blocks of neighbours.
    """
    chance, hit = _second_or_voted(y, output)
    rng = np.random.default_rng(0)
    drawn = rng.random((_DRAWS, len(chance))) < chance
    by_luck = float(np.mean([_error(chance, d) for d in drawn]))
    blocks = np.array_split(np.arange(len(chance)), min(_BLOCKS, len(chance)))
    again = []
    for _ in range(_DRAWS):
        taken = np.concatenate([blocks[i] for i in rng.integers(0, len(blocks), len(blocks))])
        again.append(_error(chance[taken], hit[taken]))
    error = _error(chance, hit)
    # The error of a resample is biased upwards once more: the bounds are reflected (basic
    # bootstrap), which takes that off.
    low, high = 2 * error - np.quantile(again, [level, 1 - level])
    return Calibration(
        max(error - by_luck, 0.0), max(float(low) - by_luck, 0.0), max(float(high) - by_luck, 0.0)
    )


def _second_or_voted(
    y: NDArray[np.intp], output: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if output.shape[1] == 1:
        return output[:, 0].astype(np.float64), y == 1
    return output.max(axis=1).astype(np.float64), output.argmax(axis=1) == y


def _error(chance: NDArray[np.float64], hit: NDArray[np.bool_]) -> float:
    order = np.argsort(chance, kind="stable")
    gap = (chance - hit)[order]
    edges = np.linspace(0, len(gap), min(_GROUPS, len(gap)) + 1).astype(np.intp)[:-1]
    return float(np.abs(np.add.reduceat(gap, edges)).sum() / len(gap))
