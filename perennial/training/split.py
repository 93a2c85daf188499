"""Keeping newer rows aside, to try on them what has learned from the rows before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from perennial.training.estimator import TrainingSet

FOLDS = 3
SHARE = 0.15
"""Of the rows, in each fold: the first one learns from a good half of them."""


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows to learn from, and the rows right behind them."""

    older: TrainingSet
    newer: TrainingSet


def forward_folds(data: TrainingSet) -> tuple[Fold, ...]:
    """Cut rows as time would: each fold's newer rows are older ones of the next (rolling origin;
    Tashman, International Journal of Forecasting 16, 2000).

    Of a stream that changes, a single stretch of new rows tells more of that stretch than of those
    to come. A class that does not occur before a fold's newer rows stays with the older ones: no
    model can be tried on a class that it has never seen.

    Returns:
        In time order; of few rows fewer folds, or none.
    """
    rows, size = len(data), int(len(data) * SHARE)
    folds = []
    for end in range(rows - (FOLDS - 1) * size, rows + 1, size) if size else ():
        newer = np.zeros(rows, dtype=bool)
        newer[end - size : end] = True
        older = np.arange(rows) < end - size
        if data.task != "regression":
            known = np.isin(data.y, np.unique(data.y[older]))
            newer, older = newer & known, older | ~known
        if newer.any():
            folds.append(Fold(data.take(older), data.take(newer)))
    return tuple(folds)
