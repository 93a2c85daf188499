"""A table to try Perennial with: customers who leave, and later do so for other reasons.

Each row is a call that a customer made; whether the customer left is the target. At first they
leave since a plan is dear, later since a competitor lures the young ones away: what a model of the
first part knows is worth little then.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

HISTORY_ROWS = 4_000
LATER_ROWS = 15_000
HISTORY, LATER = "churn.csv", "later.csv"
_START = pd.Timestamp("2026-03-02 08:00:00")
_PLANS = ("basic", "plus", "family")


def write_example(folder: Path, *, seed: int = 0) -> tuple[Path, Path]:
    """Write ``churn.csv`` and ``later.csv`` into a folder; the same seed gives the same files.

    Returns:
        The paths of both. Columns: called_at (one call a second), customer_id, plan, age,
        minutes, support_calls (4% of them missing) and the target, churned (0 or 1).
    """
    rng = np.random.default_rng(seed)
    total = HISTORY_ROWS + LATER_ROWS
    frame = pd.DataFrame(
        {
            "called_at": _START + pd.to_timedelta(np.arange(total), unit="s"),
            "customer_id": [f"c-{number:08x}" for number in rng.permutation(2**20)[:total]],
            "plan": rng.choice(_PLANS, total, p=[0.5, 0.3, 0.2]),
            "age": rng.integers(18, 80, total),
            "minutes": rng.gamma(2.0, 90.0, total).round(1),
            "support_calls": rng.poisson(1.2, total).astype(float),
        }
    )
    later = np.arange(total) >= HISTORY_ROWS
    odds = np.where(later, _lured_away(frame), _too_dear(frame))
    frame["churned"] = (rng.random(total) < 1 / (1 + np.exp(-odds))).astype(int)
    frame.loc[rng.random(total) < 0.04, "support_calls"] = np.nan
    paths = folder / HISTORY, folder / LATER
    for path, rows in zip(paths, (~later, later), strict=True):
        frame[rows].to_csv(path, index=False)
    return paths


def _too_dear(frame: pd.DataFrame) -> NDArray[np.float64]:
    dear = frame["plan"].map({"basic": -1.5, "plus": 0.5, "family": 2.0})
    odds = dear + 0.9 * (frame["support_calls"] - 1.2) - 0.004 * frame["minutes"]
    return np.asarray(odds, dtype=float)


def _lured_away(frame: pd.DataFrame) -> NDArray[np.float64]:
    young = (45 - frame["age"]) / 8
    odds = young - 0.6 * (frame["support_calls"] - 1.2) + 0.006 * frame["minutes"] - 1.2
    return np.asarray(odds, dtype=float)
