"""What a family does on the newer rows of forward folds, round by round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Behind = Callable[[NDArray[Any]], bool]
"""Whether a family that answers the newer rows so (rows, width) has clearly lost against another
one."""


@dataclass(frozen=True, eq=False)
class FoldTrial:
    """A family that has learned from the older rows of a fold, on its newer ones."""

    rows: int
    curve: NDArray[Any] | None
    """Mean loss after so many rounds, from 0 on, until there was no use in more: (rounds + 1,).
    None: the family has no rounds."""
    answer: Callable[[int | None], NDArray[Any]]
    """Its answers after so many rounds (rows, width); after fewer, where it ended before."""


def choose_rounds(
    trials: Sequence[FoldTrial], *, least: int, default: int, enough: int
) -> int | None:
    """Choose the rounds after which the loss is lowest, on average over folds.

    A loss counts as a share of what it is without a round, so that folds of wilder rows count for
    no more than others. A fold that ended before stands as it has ended.

    Args:
        least: fewest rounds that are chosen.
        default: what is chosen where the folds have fewer newer rows than ``enough`` together.

    Returns:
        None where the family has no rounds.
    """
    if sum(trial.rows for trial in trials) < enough:
        return default
    curves = [trial.curve for trial in trials if trial.curve is not None]
    if not curves:
        return None
    longest = max(map(len, curves))
    shares = [
        np.pad(curve, (0, longest - len(curve)), mode="edge") / (curve[0] or 1.0)
        for curve in curves
    ]
    return max(least, int(np.argmin(np.mean(shares, axis=0))))
