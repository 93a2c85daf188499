"""The reference policies: never retrained, retrained at every window, at every fifth.

All of them use HistGradientBoosting with default parameters on the raw features. Version 1 is
trained on the first fraction; a refit at a window's end slides over as many of the newest labelled
rows, and the next window is answered by the model then standing. So all draw on the same refits,
which are made once, spread over processes.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.backtest.stream import Cut, Recorded, cut, seeded
from perennial.evaluation.metrics import score
from perennial.evaluation.paired import batch_mean, paired_losses
from perennial.evaluation.yardstick import encode_target, fit_yardstick, target_classes
from perennial.spec import PipelineSpec

BaselinePolicy = Literal["never", "every", "periodic-5"]
Progress = Callable[[int, int], None]

_CONFIDENCE = 0.95
_THREADS = "OMP_NUM_THREADS"
_PERIOD: dict[BaselinePolicy, int] = {"every": 1, "periodic-5": 5}


@dataclass(frozen=True)
class BaselineRun:
    """What a reference policy would have done on a stream."""

    policy: str
    window_scores: tuple[float, ...]
    """The metric in each window; NaN where it is undefined."""
    score: float
    """The metric pooled over all rows after the first fraction."""
    outputs: NDArray[Any]
    """Answers to those rows (rows, width), as `perennial.evaluation.metrics` takes them."""
    starts: tuple[int, ...]
    """Windows that a newly fitted model was the first to answer, 0 among them."""
    cpu_seconds: float
    """CPU time of the fits."""
    first_cpu_seconds: float
    """What of it version 1 took."""

    @property
    def fits(self) -> int:
        """All fits, version 1 included."""
        return len(self.starts)


@dataclass(frozen=True)
class Refit:
    """A model fitted before window ``start``, and what it would answer from there on."""

    start: int
    outputs: NDArray[Any]
    """Of all rows from the window's first (rows, width)."""
    cpu_seconds: float


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
    starts = refit_starts(policy, windows)
    refits = {}
    with processes(frame, spec, jobs) as pool:
        work = submit_refits(pool, where, starts, spec.model.seed)
        for done, result in enumerate(as_completed(work), start=1):
            refit = result.result()
            refits[refit.start] = refit
            if progress is not None:
                progress(done, len(starts))
    return assemble(policy, frame, spec, where, starts, refits)


def refit_starts(policy: BaselinePolicy, windows: int) -> tuple[int, ...]:
    """Which windows are the first that a newly fitted model answers."""
    return tuple(range(0, windows, _PERIOD.get(policy, windows)))


@contextmanager
def processes(
    frame: pd.DataFrame, spec: PipelineSpec, jobs: int | None = None
) -> Iterator[ProcessPoolExecutor]:
    """Start workers of one thread each that hold the stream; None: one for each core."""
    with (
        _children_on_one_thread(),
        ProcessPoolExecutor(
            jobs or os.cpu_count(),
            get_context("spawn"),
            initializer=_hold_stream,
            initargs=(frame, spec),
        ) as pool,
    ):
        try:
            yield pool
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _children_on_one_thread() -> Iterator[None]:
    """Keep processes that are started meanwhile to one thread each, so that sums do not depend on
    how many cores there are, and no thread counts that only waits for work. A library reads this
    when it is imported, which may be before an initializer runs."""
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before


def submit_refits(
    pool: ProcessPoolExecutor, where: Cut, starts: Collection[int], seed: int
) -> list[Future[Refit]]:
    """Have models fitted in the workers of `processes`."""
    return [pool.submit(_refit, where, start, seed) for start in starts]


def assemble(
    name: str,
    frame: pd.DataFrame,
    spec: PipelineSpec,
    where: Cut,
    starts: tuple[int, ...],
    refits: dict[int, Refit],
) -> BaselineRun:
    """Put together what a policy would have answered that retrains at these windows.

    Args:
        starts: growing, the first one 0.
        refits: one for each start at least.
    """
    classes = () if spec.task == "regression" else target_classes(frame[spec.target])
    parts = [
        refits[start].outputs[: where.bounds[end] - where.bounds[start]]
        for start, end in pairwise([*starts, where.windows])
    ]
    outputs = np.concatenate(parts)
    pooled, by_window = score_windows(frame, spec, classes, where, outputs)
    seconds = sum(refits[start].cpu_seconds for start in starts)
    first_seconds = refits[0].cpu_seconds
    return BaselineRun(name, by_window, pooled, outputs, starts, seconds, first_seconds)


def every_gains(
    frame: pd.DataFrame, spec: PipelineSpec, never: NDArray[Any], every: NDArray[Any]
) -> bool:
    """Whether retraining at every window is clearly better than never.

    At 95% confidence, one-sided, by a paired test for rows that resemble their neighbours.

    Args:
        frame: the stream, which ends with the rows that were answered.
        never: answers of a model that is never retrained (rows, width), in all classes of the
            stream.
        every: those of one that is retrained at every window.
    """
    answered = frame[spec.target].iloc[len(frame) - len(never) :]
    known = answered.notna().to_numpy()
    if not known.any():
        return False
    classes = () if spec.task == "regression" else target_classes(frame[spec.target])
    y = encode_target(answered[known], spec, classes)
    before, after = (paired_losses(spec.task, spec.metric, y, o[known]) for o in (never, every))
    return batch_mean(before - after).interval(2 * _CONFIDENCE - 1)[0] > 0


def recovered(
    policy_score: float, never_score: float, every_score: float, *, gains: bool
) -> float | None:
    """Say how much of what retraining at every window gains a policy gained.

    Args:
        gains: whether it gains anything, see `every_gains`.

    Returns:
        0 as never, 1 as every; None where retraining at every window gains nothing, or no more than
        chance may give: what a policy has of that is a share of nothing, or of a loss.
    """
    if not gains or every_score == never_score:
        return None
    share = (policy_score - never_score) / (every_score - never_score) + 0.0
    return share if math.isfinite(share) else None


def nothing_to_recover(
    never_score: float, every_score: float, perennial: float | None, *, gains: bool
) -> str:
    """Say so where nothing is to be recovered, see `recovered`; empty where something is."""
    if gains and every_score != never_score:
        return ""
    mine = "" if perennial is None else f"; Perennial {perennial:.4g}"
    return (
        "nothing to recover: retraining at every window gains nothing here, or no more than chance "
        f"may give (never {never_score:.4g}, every {every_score:.4g}){mine}"
    )


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


_held: dict[str, Any] = {}
"""The stream of a worker process."""


def held_stream(where: Cut, seed: int) -> Recorded:
    """Give the stream that this worker process was started with: cut, and with its fits' seed."""
    frame, spec = _held["frame"], _held["spec"]
    return Recorded(frame.iloc[: where.end], seeded(spec, seed), where)


def _hold_stream(frame: pd.DataFrame, spec: PipelineSpec) -> None:
    _held.update(frame=frame, spec=spec)


def _refit(where: Cut, start: int, seed: int) -> Refit:
    return refit(held_stream(where, seed), start)


def refit(recorded: Recorded, start: int) -> Refit:
    """Fit the model that answers from a window on, on as many newest rows as the first fraction
    has."""
    frame, spec, where = recorded.frame, recorded.spec, recorded.where
    classes = () if spec.task == "regression" else target_classes(frame[spec.target])
    known_until = where.labelled(start)
    rows = frame.iloc[known_until - where.first : known_until]
    model = fit_yardstick(rows, spec, classes, seed=spec.model.seed)
    return Refit(start, model.predict(frame.iloc[where.bounds[start] :]), model.cpu_seconds)
