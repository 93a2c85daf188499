"""How well one feature alone tells the target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.evaluation.leakage.target import Floats, as_numbers

_BLOCKS = 20
_GROUPS = 200
_PRIOR_ROWS = 1.0
_CUTS = 3
_FEWEST_BEYOND = 5
"""Rows on each side of a cut."""
_CONFIRMS = 1.0
"""Standard errors."""


def explained_by(feature: pd.Series, target: Floats) -> float:
    """Share of the target's variance that a curve over one feature explains, out of sample.

    The rows are cut into blocks in time order; the curve is learnt on every second block and tried
    on the others, so that a feature which merely moves slowly, as the target does, gains nothing.
    A missing value is a value of its own.

    Args:
        feature: (rows,).
        target: as `perennial.evaluation.leakage.target.target_columns` gives it.

    Returns:
        At most 1; zero or less where it tells nothing.
    """
    spread = target[~_learnt_on(len(target))].var(axis=0).mean()
    return float(1 - row_errors(feature, target).mean() / spread) if spread > 0 else 0.0


def explained_by_cuts(values: Floats, target: Floats) -> float:
    """Share of the target's variance that a few thresholds on a number explain.

    A class is often another side of a threshold. Where rows are few, or some of them wrong, a curve
    bends to each; two cuts or three do not. What they explain of all rows is not believed beyond
    what each half of the blocks confirms of the other, within the error of so few rows.

    Args:
        values: (rows,), NaN where missing.
        target: as `explained_by` takes it.
    """
    from sklearn.tree import DecisionTreeRegressor

    spread = float(target.var(axis=0).mean())
    known = values[~np.isnan(values)]
    if spread <= 0 or len(known) == 0:
        return 0.0
    x = np.nan_to_num(values, nan=known.min() - 1.0)[:, None]

    def errors(learn: NDArray[np.bool_], tried: NDArray[np.bool_]) -> Floats:
        tree = DecisionTreeRegressor(
            max_leaf_nodes=_CUTS + 1, min_samples_leaf=_FEWEST_BEYOND, random_state=0
        )
        answer = tree.fit(x[learn], target[learn]).predict(x[tried])
        result: Floats = ((target[tried] - answer.reshape(-1, target.shape[1])) ** 2).mean(axis=1)
        return result

    every, half = np.ones(len(target), dtype=bool), _learnt_on(len(target))
    unseen = np.concatenate([errors(half, ~half), errors(~half, half)])
    at_least = float(unseen.mean() - _CONFIRMS * unseen.std() / np.sqrt(len(unseen)))
    return 1 - max(float(errors(every, every).mean()), at_least) / spread


def row_errors(feature: pd.Series, target: Floats, *, groups: int = _GROUPS) -> Floats:
    """Squared errors of that curve on the rows of every second block: (rows tried,).

    Args:
        groups: of rows, through whose means a curve over numbers goes.
    """
    learn = _learnt_on(len(target))
    answer = answers_of(feature, target, learn, groups=groups)
    errors: Floats = ((target[~learn] - answer[~learn]) ** 2).mean(axis=1)
    return errors


def _learnt_on(rows: int) -> NDArray[np.bool_]:
    learn: NDArray[np.bool_] = (np.arange(rows) * _BLOCKS // max(rows, 1)) % 2 == 0
    return learn


def answers_of(
    feature: pd.Series, target: Floats, learn: NDArray[np.bool_], *, groups: int = _GROUPS
) -> Floats:
    """Answer every row by the rows of ``learn``: a mean a level, or a line through group means."""
    numbers = as_numbers(feature)
    values: NDArray[Any] = feature.astype(str).to_numpy() if numbers is None else numbers
    missing = feature.isna().to_numpy() if numbers is None else np.isnan(numbers)
    answer = np.repeat(target[learn].mean(axis=0)[None, :], len(target), axis=0)
    if (missing & learn).any():
        answer[missing] = target[missing & learn].mean(axis=0)
    here, known = ~missing, ~missing & learn
    if not known.any():
        return answer
    levels, place = np.unique(values[known], return_inverse=True)
    if numbers is not None and len(levels) > groups:
        answer[here] = _line(values[known], target[known], values[here], groups)
        return answer
    means = _level_means(place, target[known], len(levels))
    found = np.clip(np.searchsorted(levels, values[here]), 0, len(levels) - 1)
    hit = levels[found] == values[here]
    rows = np.flatnonzero(here)
    answer[rows[hit]] = means[found[hit]]
    return answer


def _level_means(place: NDArray[np.intp], target: Floats, levels: int) -> Floats:
    """Means a level, drawn towards the overall mean by one row: a level seen once tells little."""
    sums = np.zeros((levels, target.shape[1]))
    np.add.at(sums, place, target)
    count = np.bincount(place, minlength=levels)[:, None]
    shrunk: Floats = (sums + _PRIOR_ROWS * target.mean(axis=0)) / (count + _PRIOR_ROWS)
    return shrunk


def _line(x: Floats, target: Floats, asked: Floats, groups: int) -> Floats:
    """Interpolate between the means of groups of equal size, sorted by x."""
    order = np.argsort(x, kind="stable")
    edges = np.linspace(0, len(x), groups + 1).astype(np.intp)
    sizes = np.diff(edges)
    centres = np.add.reduceat(x[order], edges[:-1]) / sizes
    means = np.add.reduceat(target[order], edges[:-1], axis=0) / sizes[:, None]
    columns = [np.interp(asked, centres, means[:, k]) for k in range(target.shape[1])]
    # The line is flat beyond its ends; where the relation is a straight one, it goes on.
    slope = [np.polyval(np.polyfit(x, target[:, k], 1), asked) for k in range(target.shape[1])]
    outside = (asked < centres[0]) | (asked > centres[-1])
    result: Floats = np.where(outside[:, None], np.column_stack(slope), np.column_stack(columns))
    return result
