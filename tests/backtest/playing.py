"""Small recorded streams, and the loop played over them with models that take no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perennial.backtest import baselines, compare
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


class OneProcess(Executor):
    """Does in this process, at once, what a pool of processes would do."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def in_one_process() -> Iterator[None]:
    """Backtests without processes of their own: none of their figures hangs on them, as
    test_compare.py says."""

    @contextmanager
    def here(frame: pd.DataFrame, spec: PipelineSpec, jobs: int | None = None) -> Iterator[Any]:
        baselines._hold_stream(frame, spec)
        yield OneProcess()

    with pytest.MonkeyPatch.context() as patch:
        for module in (baselines, compare):
            patch.setattr(module, "processes", here)
        yield
