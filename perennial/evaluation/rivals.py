"""The pipeline's own metric of a candidate and of its rivals, on the same rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from perennial.evaluation.answers import Answers
from perennial.evaluation.metrics import score
from perennial.evaluation.trivial import last_value_output, trivial_output
from perennial.spec import MetricName


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


def score_rivals(answers: Answers) -> Scores:
    """Score a candidate and its rivals."""
    task, metric, y, training_y = answers.task, answers.metric, answers.y, answers.training_y

    def scored(output: NDArray[Any] | None) -> float | None:
        if output is None or not np.isfinite(output).all():
            return None
        figure = score(metric, y, output)
        return figure if math.isfinite(figure) else None

    width, lag = answers.width, answers.lag
    constant = np.tile(trivial_output(task, metric, training_y, width), (len(y), 1))
    known = len(training_y) > lag and len(y) > 0
    return Scores(
        metric=metric,
        candidate=scored(answers.candidate),
        champion=scored(answers.champion),
        constant=scored(constant),
        last_value=scored(last_value_output(task, y, training_y, width, lag)) if known else None,
    )
