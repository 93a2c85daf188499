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


class Promise(BaseModel):
    """What a version's losses were on the gate's rows. Goes into its ``metrics.json``."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    rows: int
    mean: float
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
    promised: float
    ratio: float
    """Loss over promise; 1 is as promised."""
    low: float
    """Lower end of the ratio's interval at 1 - the policy's p_value."""
    high: float
    p_value: float
    """One-sided: how likely such a rise is if nothing changed."""
    risen: bool


def promise(task: Task, metric: MetricName, y: NDArray[Any], output: NDArray[Any]) -> Promise:
    """Sum up a version's losses on the gate's rows (shapes as in `perennial.evaluation.metrics`).

    Raises:
        ValueError: there are no rows.
    """
    losses = paired_losses(task, metric, y, output)
    mean = batch_mean(losses)
    return Promise(
        rows=mean.rows,
        mean=mean.mean,
        variance=float(np.var(losses)),
        stderr=mean.stderr,
        freedom=mean.freedom,
    )
