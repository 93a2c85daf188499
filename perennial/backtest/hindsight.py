"""The best moments to retrain, found afterwards: what any policy of full retrains can be held to.

Losses of windows add up, so the best choice of a given number of retrains is found exactly, by
dynamic programming over (retrains left, window): no other choice of as many windows has a lower
mean loss. Models are those of the reference policies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.backtest.baselines import Refit
from perennial.backtest.stream import Recorded
from perennial.evaluation.metrics import row_losses


@dataclass(frozen=True)
class Hindsight:
    """The best choices for every number of retrains."""

    losses: tuple[float, ...]
    """Mean row loss with 0, 1, 2, ... retrains."""
    starts: tuple[tuple[int, ...], ...]
    """Windows that a new model is the first to answer, 0 among them, for as many retrains."""


def window_losses(recorded: Recorded, refits: dict[int, Refit]) -> NDArray[np.float64]:
    """Sum up row losses: (windows, windows), the model fitted before window i on window j.

    Before a model was there its losses are infinite.
    """
    where, spec = recorded.where, recorded.spec
    sums = np.full((where.windows, where.windows), np.inf)
    for start, refit in refits.items():
        for window in range(start, where.windows):
            low, high = where.bounds[window], where.bounds[window + 1]
            rows = recorded.labelled(int(low), int(high))
            output = refit.outputs[rows - where.bounds[start]]
            sums[start, window] = row_losses(spec.task, spec.metric, recorded.y[rows], output).sum()
    return sums


def look_back(losses: NDArray[np.float64], rows: int, most: int) -> Hindsight:
    """Find the best windows for 0 to ``most`` retrains.

    Args:
        losses: as `window_losses` gives them.
        rows: labelled rows after the first fraction.
    """
    windows = len(losses)

    def spell(first: int, last: int) -> float:
        """Loss of the model fitted before ``first`` on windows first to last - 1."""
        return float(losses[first, first:last].sum())

    best = np.full((most + 1, windows + 1), np.inf)
    came_from = np.zeros((most + 1, windows + 1), dtype=int)
    for end in range(windows + 1):
        best[0, end] = spell(0, end)
    for count in range(1, most + 1):
        for end in range(count + 1, windows + 1):
            ways = [best[count - 1, start] + spell(start, end) for start in range(count, end)]
            place = int(np.argmin(ways))
            best[count, end] = ways[place]
            came_from[count, end] = count + place
    chosen = [_trace(came_from, count, windows) for count in range(most + 1)]
    return Hindsight(tuple(float(best[c, windows]) / rows for c in range(most + 1)), tuple(chosen))


def _trace(came_from: NDArray[np.int_], count: int, windows: int) -> tuple[int, ...]:
    starts, end = [], windows
    for left in range(count, 0, -1):
        end = int(came_from[left, end])
        starts.append(end)
    return (0, *reversed(starts))
