"""The champion's loss on labelled rows, held against what the gate had promised.

Both are means over rows in time order with batch-means standard errors, compared by Welch's t: a
few wild rows spread the batch means as much as they move them and do not raise an alarm alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from perennial.evaluation.paired import BatchMean, batch_mean, paired_losses
from perennial.spec import MetricName, Policy, Task
from perennial.store import layout


class Promise(BaseModel):
    """What a version's losses are held against. Goes into its ``metrics.json``."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    rows: int
    """The gate's rows, on which it was measured."""
    measured: float
    """Mean loss of these rows."""
    mean: float
    """Mean loss that is promised: the measured one, or less (see `promise`)."""
    variance: float
    """Of a row's loss."""
    stderr: float
    """Of the mean; allows for rows that resemble their neighbours."""
    freedom: int
    """Degrees of freedom of ``stderr``."""


class LossVerdict(BaseModel):
    """The champion's loss on one window's labelled rows."""

    model_config = ConfigDict(frozen=True)

    window: str
    rows: int
    loss: float
    stderr: float
    freedom: int
    promise: Promise
    ratio: float
    """Loss over promise; 1 is as promised."""
    low: float
    """The ratio's one-sided bounds at confidence 1 - the policy's loss_p_value, within what a loss
    can be."""
    high: float
    p_value: float
    """One-sided: how likely such a rise is if nothing changed."""
    risen: bool


def promise(
    task: Task,
    metric: MetricName,
    y: NDArray[Any],
    output: NDArray[Any],
    *,
    standing: Promise | None = None,
) -> Promise:
    """Sum up a version's losses on the gate's rows (shapes as in `perennial.evaluation.metrics`).

    A candidate made right after a change has seen little of the new world: it is better than the
    champion, and still bad. Were its own loss the new standard, nobody would ever ask for a better
    one. So a standard is given up slowly: where the loss is above what the champion had promised,
    the promise is the geometric mean of both.

    Args:
        standing: the champion's promise; None for a first version.

    Raises:
        ValueError: there are no rows.
    """
    losses = paired_losses(task, metric, y, output)
    measured = batch_mean(losses)
    mean = measured.mean
    if standing is not None and 0 < standing.mean < mean:
        mean = math.sqrt(standing.mean * mean)
    share = mean / measured.mean if measured.mean > 0 else 1.0
    return Promise(
        rows=measured.rows,
        measured=measured.mean,
        mean=mean,
        variance=float(np.var(losses)) * share**2,
        stderr=measured.stderr * share,
        freedom=measured.freedom,
    )


def check_loss(
    window: str,
    promised: Promise,
    *,
    task: Task,
    metric: MetricName,
    y: NDArray[Any],
    output: NDArray[Any],
    policy: Policy,
) -> LossVerdict:
    """Hold the champion's answers on a window's labelled rows against its promise.

    Args:
        window: name of the window.
        y: true values or class indices (rows,), in time order.
        output: the champion's output on them (rows, width).

    Raises:
        ValueError: there are no rows.
    """
    mean = batch_mean(paired_losses(task, metric, y, output))
    return hold_against(promised, window, mean, policy, most=most_loss(metric))


def most_loss(metric: MetricName) -> float:
    """The highest mean loss there can be."""
    return 1.0 if metric in ("accuracy", "balanced_accuracy", "auc") else math.inf


def pool(verdicts: Sequence[LossVerdict], policy: Policy) -> LossVerdict:
    """Take several windows of one champion together as if they were one.

    Raises:
        ValueError: there are no verdicts.
    """
    if not verdicts:
        raise ValueError("there are no windows to pool")
    rows = sum(v.rows for v in verdicts)
    mean = BatchMean(
        rows=rows,
        mean=sum(v.rows * v.loss for v in verdicts) / rows,
        stderr=math.hypot(*(v.rows * v.stderr for v in verdicts)) / rows,
        freedom=sum(v.freedom for v in verdicts),
    )
    names = verdicts[0].window, verdicts[-1].window
    return hold_against(verdicts[-1].promise, layout.several_windows(*names), mean, policy)


def hold_against(
    promised: Promise,
    window: str,
    mean: BatchMean,
    policy: Policy,
    *,
    most: float = math.inf,
) -> LossVerdict:
    """Hold a mean loss, measured or estimated, against a promise.

    Args:
        most: the highest mean loss there can be; none is below zero.
    """
    from scipy.stats import t

    scale = promised.mean if promised.mean > 0 else 1.0
    rise = mean.mean - promised.mean
    stderr = math.hypot(mean.stderr, promised.stderr)
    freedom = _welch(mean, promised)
    if stderr > 0 and freedom > 0:
        p_value = float(t.sf(rise / stderr, freedom))
        reach = float(t.isf(policy.loss_p_value, freedom)) * stderr
    else:
        p_value, reach = (0.0 if rise > 0 else 1.0), 0.0
    ratio = (scale + rise) / scale
    return LossVerdict(
        window=window,
        rows=mean.rows,
        loss=mean.mean,
        stderr=mean.stderr,
        freedom=mean.freedom,
        promise=promised,
        ratio=ratio,
        low=max(0.0, ratio - reach / scale),
        high=min(max(most / scale, ratio), ratio + reach / scale),
        p_value=p_value,
        risen=ratio >= 1 + policy.loss_increase and p_value <= policy.loss_p_value,
    )


def _welch(mean: BatchMean, promised: Promise) -> float:
    """Degrees of freedom of the difference of two means (Welch, Biometrika 34, 1947)."""
    a, b = mean.stderr**2, promised.stderr**2
    denominator = (a**2 / mean.freedom if mean.freedom else 0.0) + (
        b**2 / promised.freedom if promised.freedom else 0.0
    )
    return (a + b) ** 2 / denominator if denominator > 0 else 0.0
