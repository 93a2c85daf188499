"""Small recorded streams, and the loop played over them with models that take no time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from perennial.backtest.replay import ReplayedRun, replay
from perennial.backtest.stream import Recorded, cut
from perennial.registry import Declaration
from perennial.spec import PipelineSpec

AT_ONCE = {"shadow": None, "canary": None, "bake": None}


def spec(**changes: Any) -> PipelineSpec:
    """A linear model that takes over at once."""
    return PipelineSpec.model_validate(
        {
            "name": "toy",
            "task": "regression",
            "source": {"uri": "x"},
            "target": "y",
            "model": {"estimators": ["linear"]},
            "rollout": AT_ONCE,
            **changes,
        }
    )


def stream(*turns: int, rows: int = 1500, seed: int = 0) -> pd.DataFrame:
    """Rows whose target hangs on two numbers; at each turn the second one's part changes sign, and
    the level with it."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    sign = (-1) ** np.searchsorted(turns, np.arange(rows), side="right")
    return pd.DataFrame({"a": a, "b": b, "y": 2 * a + sign * (b - 2) + rng.normal(0, 0.5, rows)})


def played(
    frame: pd.DataFrame, declared: PipelineSpec | None = None, *, windows: int = 12, late: int = 1
) -> ReplayedRun:
    """Play the loop over rows."""
    declared = declared or spec()
    where = cut(len(frame), windows=windows, train_fraction=0.2, label_delay_windows=late)
    return replay(Recorded(frame, declared, where), Declaration(spec=declared))
