"""Whether a feature is made of the target's values that are not known yet.

Every numeric feature is regressed on the target around its row, and on its own last value. What
lags, sums and running means of the known past explain, they explain without the present; a feature
is made of the unknown where the present and later values explain nearly all that the past leaves.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from perennial.evaluation.leakage.target import Floats, standardised

REACH = 6
"""Rows that are looked at on each side."""
LEFT_OVER = 0.005
"""At most this share of what the past leaves unexplained may be left by the present and later."""
_TRACE = 1e-9


class Made(NamedTuple):
    """How a feature depends on the target's unknown values."""

    present: float
    """Share of what the past leaves that the target's own row explains."""
    later: float
    """As above, with later rows, or with rows whose truth comes too late."""


def made_of_target(features: Floats, target: Floats, lag: int) -> list[Made]:
    """Measure each feature's dependence on what was not known at its row.

    Args:
        features: (rows, features), without missing values.
        target: (rows, columns), in time order.
        lag: rows by which the truth is late: the values of the last ``lag - 1`` rows are unknown.
    """
    rows, first = len(target), max(lag, 1) + REACH
    if rows - first - REACH < 4 * (2 * REACH + 2) * target.shape[1]:
        return [Made(0.0, 0.0)] * features.shape[1]
    x = standardised(features)
    at = np.arange(first, rows - REACH)

    def columns(shifts: range) -> list[Floats]:
        return [target[at + shift] for shift in shifts]

    past = columns(range(-lag - REACH + 1, -lag + 1))
    late = columns(range(max(-lag + 1, -REACH), 0))
    present, later = columns(range(0, 1)), columns(range(1, REACH + 1))
    made = []
    known, own = np.hstack([np.ones((len(at), 1)), *past]), x[at - 1]
    design_present = np.hstack([known, *present])
    design_all = np.hstack([design_present, *late, *later])
    for k in range(x.shape[1]):
        wanted = x[at, k]
        before = own[:, k : k + 1]
        left = _left_over(np.hstack([known, before]), wanted)
        if left <= _TRACE:
            made.append(Made(0.0, 0.0))
            continue
        made.append(
            Made(
                1 - _left_over(np.hstack([design_present, before]), wanted) / left,
                1 - _left_over(np.hstack([design_all, before]), wanted) / left,
            )
        )
    return made


def left_by_past(target: Floats, lag: int) -> float:
    """Share of the target's variance that a line through its known past leaves.

    Args:
        target: (rows, columns), in time order, standardised.
        lag: rows by which the truth is late.
    """
    at = np.arange(max(lag, 1) + REACH, len(target))
    past = [target[at - lag - k] for k in range(REACH)]
    if len(at) < 4 * REACH * target.shape[1]:
        return 1.0
    design = np.hstack([np.ones((len(at), 1)), *past])
    return float(np.mean([_left_over(design, column[at]) for column in target.T]))


def _left_over(design: Floats, wanted: Floats) -> float:
    """Mean squared residual of a least-squares fit, by normal equations with a trace of ridge."""
    gram = design.T @ design
    gram[np.diag_indices_from(gram)] += 1e-10 * np.trace(gram) / len(gram)
    weights = np.linalg.solve(gram, design.T @ wanted)
    return float(((wanted - design @ weights) ** 2).mean())
