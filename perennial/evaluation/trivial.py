"""What a model has to beat: answers that need no model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.spec import MetricName, Task


def trivial_output(
    task: Task, metric: MetricName, training_y: NDArray[Any], width: int
) -> NDArray[Any]:
    """Give the best constant answer, as one output row of shape (width,).

    The mean of the training target for rmse, its median for mae, the class shares for classes (the
    majority class, where votes are counted).
    """
    if len(training_y) == 0:
        return np.full(width, 0.0 if task == "regression" else 1 / max(2, width))
    if task == "regression":
        middle = np.median if metric == "mae" else np.mean
        return np.array([float(middle(training_y))])
    shares = np.bincount(training_y.astype(np.intp), minlength=max(2, width)) / len(training_y)
    return shares if width > 1 else shares[1:2]


def last_value_output(
    task: Task, y: NDArray[Any], training_y: NDArray[Any], width: int, lag: int
) -> NDArray[Any]:
    """Answer each row with the newest truth that was known by then: the no-change predictor.

    Args:
        y: truth of the rows (rows,), in time order.
        training_y: truth of the rows before them, in time order.
        lag: rows by which the truth is late; at least 1.

    Returns:
        float (rows, width). For classes, how often each truth was followed by which, ``lag`` rows
        on, in training: the answer is a probability, not a vote (Bifet et al., "Pitfalls in
        benchmarking data stream classification", ECML PKDD 2013, has the vote).
    """
    known = np.concatenate([training_y, y])[len(training_y) - lag : len(training_y) + len(y) - lag]
    if task == "regression":
        return np.asarray(known, dtype=np.float64)[:, None]
    classes = max(2, width)
    follows = np.ones((classes, classes))
    before, after = training_y[:-lag].astype(np.intp), training_y[lag:].astype(np.intp)
    np.add.at(follows, (before, after), 1.0)
    chances: NDArray[Any] = (follows / follows.sum(axis=1, keepdims=True))[known.astype(np.intp)]
    return chances if width > 1 else chances[:, 1:2]
