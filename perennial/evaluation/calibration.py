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
    found = _bounds(y, [(output, 1)], level)
    return Calibration(*(max(figure, 0.0) for figure in found))


def calibration_change(
    y: NDArray[np.intp],
    candidate: NDArray[np.float64],
    champion: NDArray[np.float64],
    level: float,
) -> Calibration:
    """By how much the candidate's error is above the champion's on the same rows.

    Arguments as for `calibration_error`, both outputs with the classes in the same order.
    """
    return _bounds(y, [(candidate, 1), (champion, -1)], level)


def as_frequent(y: NDArray[np.intp], output: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities that were learned from each class alike, for classes as frequent as they are.

    By Bayes' rule with the shares of the classes in ``y``; shapes as in `calibration_error`.
    """
    chance = output.astype(np.float64)
    if output.shape[1] == 1:
        chance = np.hstack([1 - chance, chance])
    chance = chance * np.bincount(y, minlength=chance.shape[1])
    total = chance.sum(axis=1, keepdims=True)
    chance = np.divide(chance, total, out=np.zeros_like(chance), where=total > 0)
    return chance[:, 1:] if output.shape[1] == 1 else chance


def _bounds(
    y: NDArray[np.intp], answers: list[tuple[NDArray[np.float64], int]], level: float
) -> Calibration:
    """The sum of errors, each with its sign and less what luck gives, and its bounds."""
    rng = np.random.default_rng(0)
    rows = len(y)
    blocks = min(_BLOCKS, rows)
    by_luck = error = 0.0
    read = []
    for output, sign in answers:
        chance, hit = _second_or_voted(y, output)
        order = np.argsort(chance, kind="stable")
        chance, hit = chance[order], hit[order]
        drawn = rng.random((_DRAWS, rows)) < chance
        by_luck += sign * float(_errors(chance - drawn).mean())
        error += sign * float(_errors(chance - hit))
        read.append((chance - hit, order * blocks // rows, sign))
    again = []
    for _ in range(_DRAWS):
        times = np.bincount(rng.integers(0, blocks, blocks), minlength=blocks)
        gaps = ((s, np.repeat(gap, times[block])) for gap, block, s in read)
        again.append(sum(s * float(_errors(gap)) for s, gap in gaps))
    # The error of a resample is biased upwards once more: the bounds are reflected (basic
    # bootstrap), which takes that off.
    low, high = 2 * error - np.quantile(again, [level, 1 - level])
    return Calibration(error - by_luck, float(low) - by_luck, float(high) - by_luck)


def _second_or_voted(
    y: NDArray[np.intp], output: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if output.shape[1] == 1:
        return output[:, 0].astype(np.float64), y == 1
    return output.max(axis=1).astype(np.float64), output.argmax(axis=1) == y


def _errors(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take gaps (..., rows), of rows sorted by probability, together by groups: (...)."""
    rows = gaps.shape[-1]
    edges = np.linspace(0, rows, min(_GROUPS, rows) + 1).astype(np.intp)[:-1]
    errors: NDArray[np.float64] = np.abs(np.add.reduceat(gaps, edges, axis=-1)).sum(axis=-1) / rows
    return errors
