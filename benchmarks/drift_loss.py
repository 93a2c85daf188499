"""The loss track: how soon it sees a sudden change of P(y|x), and how often one that is none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perennial.drift.loss import check_loss, promise
from perennial.spec import Policy

RUNS, WINDOWS, WITHIN = 200, 20, 2
GATE = 0.5
"""Rows of the gate, in windows."""


@dataclass(frozen=True)
class LossRun:
    """How often the loss counted as risen."""

    stream: str
    rows: int
    risen: float
    of: str


def measure_loss() -> list[LossRun]:
    """A linear model, right at first; then the sign of one of its two coefficients changes."""
    found = []
    for rows in (300, 1000):
        false, seen = [], []
        for seed in range(RUNS):
            rng = np.random.default_rng(seed)
            gate, steady, changed = (
                _losses(rng, n, flipped)
                for n, flipped in (
                    (int(GATE * rows), False),
                    (WINDOWS * rows, False),
                    (WITHIN * rows, True),
                )
            )
            risen = _risen(gate, np.vstack([steady, changed]), rows)
            false.append(np.mean(risen[:WINDOWS]))
            seen.append(any(risen[WINDOWS:]))
        found.append(LossRun("nothing changes", rows, float(np.mean(false)), "windows"))
        words = f"P(y|x) changes, within {WITHIN}"
        found.append(LossRun(words, rows, float(np.mean(seen)), "runs"))
    return found


def _losses(rng: np.random.Generator, rows: int, flipped: bool) -> NDArray[np.float64]:
    """Truth and the model's answer, (rows, 2)."""
    x = rng.standard_normal((rows, 2))
    y = x @ np.array([1.0, -0.5 if flipped else 0.5]) + rng.standard_normal(rows)
    return np.column_stack([y, x @ np.array([1.0, 0.5])])


def _risen(gate: NDArray[np.float64], stream: NDArray[np.float64], rows: int) -> list[bool]:
    promised = promise("regression", "rmse", gate[:, 0], gate[:, 1:])
    return [
        check_loss(
            "w",
            promised,
            task="regression",
            metric="rmse",
            y=stream[low : low + rows, 0],
            output=stream[low : low + rows, 1:],
            policy=Policy(),
        ).risen
        for low in range(0, len(stream), rows)
    ]
