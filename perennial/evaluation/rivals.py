"""The pipeline's own metric of a candidate and of its rivals, on the same rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from perennial.evaluation.metrics import score
from perennial.evaluation.trivial import last_value_output, trivial_output
from perennial.spec import MetricName, Task


class Scores(BaseModel):
    """What each scored on the gate's rows; None: there is none, or the metric is undefined."""

    model_config = ConfigDict(frozen=True)

    metric: MetricName
    candidate: float | None
    champion: float | None
    constant: float | None
    """The best answer that looks at no feature."""
    last_value: float | None
    """The newest truth that was known, repeated."""


def score_rivals(
    *,
    task: Task,
    metric: MetricName,
    y: NDArray[Any],
    candidate: NDArray[Any],
    champion: NDArray[Any] | None,
    training_y: NDArray[Any],
    lag: int,
) -> Scores:
    """Score a candidate and its rivals; arguments as for `perennial.evaluation.gate.judge`."""

    def scored(output: NDArray[Any] | None) -> float | None:
        if output is None or not np.isfinite(output).all():
            return None
        figure = score(metric, y, output)
        return figure if math.isfinite(figure) else None

    width = candidate.shape[1]
    constant = np.tile(trivial_output(task, metric, training_y, width), (len(y), 1))
    known = len(training_y) > lag and len(y) > 0
    return Scores(
        metric=metric,
        candidate=scored(candidate),
        champion=scored(champion),
        constant=scored(constant),
        last_value=scored(last_value_output(task, y, training_y, width, lag)) if known else None,
    )
