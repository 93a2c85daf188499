"""Columns that number rows."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd

from perennial.evaluation.leakage.alone import answers_of
from perennial.evaluation.leakage.target import Floats, as_numbers

_NEARLY_ALL = 0.99
_EXPECTED_TWINS = 5.0
_TRIED = 20
_FEW_GROUPS = 50
_FEWEST_ROWS = 100


class Identifier(NamedTuple):
    """A column that looks like a number or name given to each row."""

    looks: str
    in_order: bool
    """It goes up (or down) with the rows, as a row number does."""


def as_identifier(feature: pd.Series) -> Identifier | None:
    """Say why a column looks like an identifier; None: it does not.

    Text does that is another one in nearly every row, unless it is a time. Whole numbers do without
    one repetition, where as many draws from their range would have repeated five times or more (the
    birthday problem): they were handed out, not measured.
    """
    numbers = as_numbers(feature)
    if numbers is None:
        text = feature.dropna().astype(str)
        if len(text) < len(feature) * _NEARLY_ALL or text.nunique() < len(text) * _NEARLY_ALL:
            return None
        if are_times(text):
            return None
        return Identifier("names each row", _one_way(text.rank(method="dense").to_numpy()))
    known = numbers[~np.isnan(numbers)]
    if len(known) < len(numbers) * _NEARLY_ALL or len(known) < 2:
        return None
    whole = bool((known == np.round(known)).all())
    if not whole or len(np.unique(known)) < len(known):
        return None
    span = float(known.max() - known.min()) + 1
    if len(known) * (len(known) - 1) / (2 * span) < _EXPECTED_TWINS:
        return None
    return Identifier("numbers each row", _one_way(known))


def are_times(text: pd.Series) -> bool:
    """Whether text reads as dates or times."""
    with warnings.catch_warnings():
        # pandas warns that it looks at each value by itself.
        warnings.simplefilter("ignore", UserWarning)
        return bool(pd.to_datetime(text.iloc[:_TRIED], errors="coerce").notna().all())


def _one_way(values: Floats) -> bool:
    steps = np.diff(values)
    return len(steps) > 0 and float(max((steps > 0).mean(), (steps < 0).mean())) >= _NEARLY_ALL


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


def explained_by_groups(feature: pd.Series, target: Floats) -> float:
    """Share of the target's variance that lies between the groups of rows that share a value.

    0 unless there are many groups, and most rows are in one of several rows.
    """
    place, levels = pd.factorize(feature)
    known = place >= 0
    place, y = place[known], target[known]
    count = np.bincount(place, minlength=len(levels))
    freedom = len(place) - len(levels)
    if len(levels) <= _FEW_GROUPS or freedom < max(_FEWEST_ROWS, len(target) / 4):
        return 0.0
    left = spread = 0.0
    for column in y.T:
        means = np.bincount(place, weights=column, minlength=len(levels)) / count
        left += float(((column - means[place]) ** 2).sum()) / freedom
        spread += float(column.var())
    return 1 - left / spread if spread > 0 else 0.0
