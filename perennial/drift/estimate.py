"""The champion's loss where no labels have come, from what it says and from where it was wrong.

Classes: confidence-based estimation. A champion whose probabilities are calibrated knows how often
it errs: rows count as members of each class with the probability that they are (CBPE; Bialek et
al., "Estimating Model Performance Under Covariate Shift Without Labels", 2024; calibrated as Platt
did, 1999). Numbers: a small model learns the loss of a row from its features and the champion's
output (direct loss estimation, DLE; NannyML, 2022).

Both hold while P(y|x) does, and only then: what changes there, labels alone can tell. How far off
they are is tried forward: learned from the older half of the labelled rows, held against the newer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.drift.columns import Column, column_of
from perennial.drift.loss import LossVerdict, Promise, hold_against, most_loss
from perennial.evaluation.metrics import predicted_class, row_losses
from perennial.evaluation.paired import MAX_BATCHES, BatchMean, paired_losses
from perennial.packaging.signature import Feature
from perennial.spec import MetricName, PipelineSpec, Task
from perennial.threads import one_thread

Floats = NDArray[Any]

_EPS = 1e-6
_TREES, _LEAVES, _ROWS_A_LEAF = 20, 7, 40
_FEWEST_BATCHES, _ROWS_A_BATCH = 2, 20
"""Of the newer half of the labelled rows, on which an estimate is tried."""


@dataclass(frozen=True, eq=False)
class Answered:
    """Labelled rows in time order, and what the champion said of them, or the trial by which it was
    judged: answers to rows that had not taught it."""

    frame: pd.DataFrame
    output: Floats
    """(rows, width)."""
    y: Floats
    """True values or class indices (rows,)."""

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: slice) -> Answered:
        """Select rows."""
        return Answered(self.frame.iloc[rows], self.output[rows], self.y[rows])

    @classmethod
    def together(cls, parts: Sequence[Answered]) -> Answered:
        """Put rows behind one another; one part at least."""
        return cls(
            pd.concat([part.frame for part in parts], ignore_index=True),
            np.concatenate([part.output for part in parts]),
            np.concatenate([part.y for part in parts]),
        )


class LossEstimator(Protocol):
    """Estimates the champion's mean loss on rows without labels."""

    def estimate(self, frame: pd.DataFrame, output: Floats) -> float:
        """Give the mean loss of rows, in the terms of a `Promise`.

        Squared error for rmse, absolute error for mae, the log loss, and 1 - metric for auc and
        the accuracies. NaN for no rows.

        Args:
            frame: their features.
            output: the champion's output on them (rows, width).
        """
        ...


def fit_loss_estimator(
    task: Task,
    metric: MetricName,
    features: Sequence[Feature],
    frame: pd.DataFrame,
    output: Floats,
    y: Floats,
    *,
    seed: int = 0,
) -> LossEstimator:
    """Learn how wrong the champion is from labelled rows that it was not trained on.

    Args:
        features: columns of ``frame`` that tell about the loss.
        output: the champion's output on them (rows, width).
        y: true values or class indices (rows,).

    Raises:
        ValueError: there are no rows.
    """
    if not len(y):
        raise ValueError("a loss cannot be learned from no rows")
    if task == "regression":
        return _LearnedLoss.of(metric, features, frame, output, y, seed)
    return _Confidence(metric, _Calibration.of(output, y))


def estimate_loss(
    window: str,
    promised: Promise,
    known: Answered,
    frame: pd.DataFrame,
    output: Floats,
    *,
    features: Sequence[Feature],
    spec: PipelineSpec,
) -> LossVerdict | None:
    """Hold the loss that rows without labels are likely to have against the champion's promise.

    Args:
        window: name of the window.
        known: the newest labelled rows that the champion was not trained on.
        frame: the window's features.
        output: the champion's output on them (rows, width).
        features: columns of both frames that tell about the loss.

    Returns:
        The verdict, its interval from how far off such estimates were on the newer half of the
        known rows; None where these are too few, or the window has no rows.
    """
    batches = min(MAX_BATCHES, len(known) // _ROWS_A_BATCH)
    if batches < 2 * _FEWEST_BATCHES or not len(output):
        return None

    def learn(rows: Answered) -> LossEstimator:
        return fit_loss_estimator(
            spec.task, spec.metric, features, rows.frame, rows.output, rows.y, seed=spec.model.seed
        )

    half = len(known) // 2
    trial = learn(known.take(slice(half)))
    errors = []
    for rows in np.array_split(np.arange(half, len(known)), batches // 2):
        newer = known.take(slice(int(rows[0]), int(rows[-1]) + 1))
        losses = paired_losses(spec.task, spec.metric, newer.y, newer.output)
        errors.append(trial.estimate(newer.frame, newer.output) - float(losses.mean()))
    mean = BatchMean(
        rows=len(output),
        mean=max(0.0, learn(known).estimate(frame, output)),
        stderr=float(np.sqrt(np.mean(np.square(errors)))),
        freedom=len(errors),
    )
    return hold_against(promised, window, mean, spec.policy, most=most_loss(spec.metric))


@dataclass(frozen=True)
class _Calibration:
    """Platt's map of each class's log odds: (slope, intercept) a column of the output."""

    maps: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, output: Floats, y: Floats) -> _Calibration:
        classes = (1,) if output.shape[1] == 1 else range(output.shape[1])
        return cls(tuple(_platt(_log_odds(output[:, i]), y == c) for i, c in enumerate(classes)))

    def probabilities(self, output: Floats) -> Floats:
        """Calibrated probabilities (rows, classes)."""
        odds = [a * _log_odds(output[:, i]) + b for i, (a, b) in enumerate(self.maps)]
        p = 1 / (1 + np.exp(-np.column_stack(odds)))
        if p.shape[1] == 1:
            return np.hstack([1 - p, p])
        found: Floats = p / np.maximum(p.sum(axis=1, keepdims=True), _EPS)
        return found


def _log_odds(p: Floats) -> Floats:
    clipped = np.clip(p.astype(np.float64), _EPS, 1 - _EPS)
    found: Floats = np.log(clipped / (1 - clipped))
    return found


def _platt(odds: Floats, member: NDArray[Any]) -> tuple[float, float]:
    """Fit slope and intercept; the share of members where there is only one kind of rows."""
    from sklearn.linear_model import LogisticRegression

    if member.all() or not member.any():
        share = (member.sum() + 1) / (len(member) + 2)
        return 0.0, float(np.log(share / (1 - share)))
    model = LogisticRegression().fit(odds[:, None], member)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


@dataclass(frozen=True)
class _Confidence:
    """Expected loss under calibrated probabilities."""

    metric: MetricName
    calibration: _Calibration

    def estimate(self, frame: pd.DataFrame, output: Floats) -> float:  # noqa: ARG002
        """As `LossEstimator`."""
        if not len(output):
            return float("nan")
        p = self.calibration.probabilities(output)
        if self.metric == "auc":
            return 1 - _expected_auc(p[:, 1], output[:, 0])
        chosen = predicted_class(output)
        if self.metric == "accuracy":
            return float(1 - p[np.arange(len(p)), chosen].mean())
        if self.metric == "balanced_accuracy":
            hit = chosen[:, None] == np.arange(p.shape[1])
            there = p.sum(axis=0) > _EPS
            recall = (p * hit).sum(axis=0)[there] / p.sum(axis=0)[there]
            return float(1 - recall.mean())
        said = np.hstack([1 - output, output]) if output.shape[1] == 1 else output
        return float(-(p * np.log(np.clip(said.astype(np.float64), _EPS, 1))).sum(axis=1).mean())


def _expected_auc(p: Floats, value: Floats) -> float:
    """AUC of rows that are positive with probability ``p``, ranked by ``value``."""
    _, place = np.unique(value, return_inverse=True)
    positive = np.bincount(place, weights=p)
    negative = np.bincount(place, weights=1 - p)
    below = np.cumsum(negative) - negative
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs > 0 else 0.5


@dataclass(frozen=True)
class _LearnedLoss:
    """A model of a row's loss."""

    columns: tuple[Column, ...]
    used: NDArray[Any]
    model: Any

    @classmethod
    def of(
        cls,
        metric: MetricName,
        features: Sequence[Feature],
        frame: pd.DataFrame,
        output: Floats,
        y: Floats,
        seed: int,
    ) -> _LearnedLoss:
        from sklearn.ensemble import HistGradientBoostingRegressor

        columns = tuple(column_of(f, frame[f.name]) for f in features)
        x = _inputs(columns, frame, output)
        used = ~np.isnan(x).all(axis=0)
        model = HistGradientBoostingRegressor(
            max_iter=_TREES,
            max_leaf_nodes=_LEAVES,
            min_samples_leaf=_ROWS_A_LEAF,
            early_stopping=False,
            random_state=seed,
        )
        with one_thread():
            model.fit(x[:, used], row_losses("regression", metric, y, output))
        return cls(columns, used, model)

    def estimate(self, frame: pd.DataFrame, output: Floats) -> float:
        """As `LossEstimator`."""
        if not len(output):
            return float("nan")
        x = _inputs(self.columns, frame, output)[:, self.used]
        with one_thread():
            losses = self.model.predict(x)
        return float(np.maximum(losses, 0.0).mean())


def _inputs(columns: Sequence[Column], frame: pd.DataFrame, output: Floats) -> Floats:
    return np.column_stack([*(column.read(frame[column.name]) for column in columns), output])
