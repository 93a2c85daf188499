"""The reference policies: never retrained, retrained at every window, at every fifth.

All three use HistGradientBoosting with default parameters on the raw features. Version 1 is trained
on the first fraction; a refit at a window's end slides over as many of the newest labelled rows,
and the next window is answered by the model then standing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.backtest.stream import Cut, cut
from perennial.evaluation.metrics import score
from perennial.evaluation.yardstick import encode_target, fit_yardstick, target_classes
from perennial.spec import PipelineSpec

BaselinePolicy = Literal["never", "every", "periodic-5"]
Progress = Callable[[int, int], None]

_PERIOD: dict[BaselinePolicy, int] = {"every": 1, "periodic-5": 5}


@dataclass(frozen=True)
class BaselineRun:
    """What a reference policy would have done on a stream."""

    policy: BaselinePolicy
    window_scores: tuple[float, ...]
    """The metric in each window; NaN where it is undefined."""
    score: float
    """The metric pooled over all rows after the first fraction."""
    outputs: NDArray[Any]
    """Answers to those rows (rows, width), as `perennial.evaluation.metrics` takes them."""
    fits: int
    cpu_seconds: float
    """CPU time of the fits."""


@dataclass(frozen=True)
class _Tenure:
    """Windows ``first`` to ``last`` - 1, answered by a model of rows ``low`` to ``high`` - 1."""

    first: int
    last: int
    low: int
    high: int


def run_baseline(
    policy: BaselinePolicy,
    frame: pd.DataFrame,
    spec: PipelineSpec,
    *,
    windows: int,
    train_fraction: float = 0.2,
    label_delay_windows: int = 0,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> BaselineRun:
    """Replay a reference policy over a stream.

    Args:
        frame: the whole stream in time order, with its target; rows without one are neither
            trained on nor scored.
        windows: into how many equal windows the rows after the first fraction are cut.
        label_delay_windows: windows by which labels come later than their window's end.
        jobs: processes; None for all cores. The result does not depend on it.
        progress: called with (fits done, fits in all).

    Raises:
        SourceError: too few rows for that many windows.
    """
    where = cut(
        len(frame),
        windows=windows,
        train_fraction=train_fraction,
        label_delay_windows=label_delay_windows,
    )
    classes = () if spec.task == "regression" else target_classes(frame[spec.target])
    tenures = _tenures(policy, where)
    answers, cpu_seconds = [], 0.0
    with ProcessPoolExecutor(
        jobs or os.cpu_count(), get_context("spawn"), initializer=_use_one_thread
    ) as pool:
        work = [
            pool.submit(
                _serve,
                frame.iloc[tenure.low : tenure.high],
                frame.iloc[where.bounds[tenure.first] : where.bounds[tenure.last]],
                spec,
                classes,
            )
            for tenure in tenures
        ]
        for done, result in enumerate(work, start=1):
            output, seconds = result.result()
            answers.append(output)
            cpu_seconds += seconds
            if progress is not None:
                progress(done, len(tenures))
    outputs = np.concatenate(answers)
    pooled, by_window = score_windows(frame, spec, classes, where, outputs)
    return BaselineRun(policy, by_window, pooled, outputs, len(tenures), cpu_seconds)


def recovered(policy_score: float, never_score: float, every_score: float) -> float:
    """Say how much of what retraining at every window gains a policy gained: 0 as never, 1 as
    every; NaN where both score the same."""
    gain = every_score - never_score
    return (policy_score - never_score) / gain if gain else float("nan")


def score_windows(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    classes: tuple[str, ...],
    where: Cut,
    outputs: NDArray[Any],
) -> tuple[float, tuple[float, ...]]:
    """Score answers to all rows after the first fraction: pooled, and window by window."""
    known = frame[spec.target].notna().to_numpy()[where.first :]
    target = frame[spec.target].iloc[where.first :]
    y = np.zeros(len(target), dtype=np.float64 if spec.task == "regression" else np.intp)
    y[known] = encode_target(target[known], spec, classes)
    by_window = []
    for low, high in pairwise(where.bounds - where.first):
        rows = np.flatnonzero(known[low:high]) + low
        by_window.append(score(spec.metric, y[rows], outputs[rows]))
    return score(spec.metric, y[known], outputs[known]), tuple(by_window)


def _tenures(policy: BaselinePolicy, where: Cut) -> list[_Tenure]:
    period = _PERIOD.get(policy, where.windows)
    starts = range(0, where.windows, period)
    return [
        _Tenure(
            first=start,
            last=min(start + period, where.windows),
            low=where.labelled(start) - where.first,
            high=where.labelled(start),
        )
        for start in starts
    ]


def _use_one_thread() -> None:
    """Keep a worker to one core, so that its sums do not depend on how many there are. It runs
    before the worker imports scikit-learn, which is why workers are spawned, not forked."""
    os.environ["OMP_NUM_THREADS"] = "1"


def _serve(
    training: pd.DataFrame,
    window: pd.DataFrame,
    spec: PipelineSpec,
    classes: tuple[str, ...],
) -> tuple[NDArray[Any], float]:
    model = fit_yardstick(training, spec, classes)
    return model.predict(window), model.cpu_seconds
