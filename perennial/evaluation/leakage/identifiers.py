"""Columns that number rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perennial.evaluation.leakage.alone import answers_of
from perennial.evaluation.leakage.target import Floats, as_numbers

_NEARLY_ALL = 0.99
_EXPECTED_TWINS = 5.0


def is_identifier(feature: pd.Series) -> str | None:
    """Say why a column looks like a number or name given to each row; None: it does not.

    Raised by: an order that (almost) always goes the same way as the rows; or whole numbers
    without one repetition, where as many draws from their range would have repeated five times or
    more (the birthday problem): they were handed out, not measured.
    """
    numbers = as_numbers(feature)
    if numbers is None:
        text = feature.dropna().astype(str)
        if len(text) < len(feature) * _NEARLY_ALL or text.nunique() < len(text) * _NEARLY_ALL:
            return None
        ranks = text.rank(method="dense").to_numpy()
        return "counts the rows" if _one_way(ranks) else "names each row"
    known = numbers[~np.isnan(numbers)]
    if len(known) < len(numbers) * _NEARLY_ALL or len(known) < 2:
        return None
    if _one_way(known):
        return "counts the rows"
    whole = bool((known == np.round(known)).all())
    if whole and len(np.unique(known)) == len(known):
        span = float(known.max() - known.min()) + 1
        if len(known) * (len(known) - 1) / (2 * span) >= _EXPECTED_TWINS:
            return "numbers each row"
    return None


def _one_way(values: Floats) -> bool:
    steps = np.diff(values)
    return len(steps) > 0 and max((steps > 0).mean(), (steps < 0).mean()) >= _NEARLY_ALL


def explained_by_order(feature: pd.Series, target: Floats) -> float:
    """Share of the target's variance that neighbours in the column's order explain.

    Every second row learns from its neighbours: what an identifier tells a model that can tell rows
    apart by it.
    """
    numbers = as_numbers(feature)
    ranks = feature.astype(str).rank(method="dense") if numbers is None else pd.Series(numbers)
    learn = np.arange(len(target)) % 2 == 0
    answer = answers_of(ranks.reset_index(drop=True), target, learn)
    left = ((target[~learn] - answer[~learn]) ** 2).mean()
    spread = target[~learn].var(axis=0).mean()
    return float(1 - left / spread) if spread > 0 else 0.0
