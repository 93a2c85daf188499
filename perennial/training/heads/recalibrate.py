"""A map of a base's output: scale and shift.

For values a line, by least squares or, for mae, by least absolute deviations; for two classes
Platt's scaling of the log-odds (Platt 1999), for more one scale for all and a shift for each class
(bias-corrected temperature scaling; Alexandari et al. 2020).

Few rows must do little harm, so the map is fitted as if `PRIOR_ROWS` more rows had been seen on
which the base was right: the targets are mixed with the base's own answers. A class without a row
among those fitted on keeps a share of its probability by the same token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.packaging.graph import Graph
from perennial.spec import Task
from perennial.training.estimator import Columns, TrainingSet
from perennial.training.heads.head import Head
from perennial.training.heads.scores import (
    output_to_graph,
    scores_to_graph,
    to_output,
    to_scores,
)

PRIOR_ROWS = 20.0
_STEPS = 30
_ROUNDING = 1e-10
_RIDGE = 1e-6
"""Keeps Newton's steps defined where a base answers every row alike."""


@dataclass(frozen=True, eq=False)
class Recalibration(Head):
    """``scale * score + shift``, on the scale of `perennial.training.heads.scores`."""

    task: Task
    width: int
    scale: float
    shift: NDArray[Any]
    """float64 (width,)."""

    def predict(
        self, numeric: Columns, categorical: Columns, base_output: NDArray[Any]
    ) -> NDArray[Any]:
        """Map the base's output; the features do not matter. See `Head`."""
        del numeric, categorical
        return to_output(self.task, self.rescale(to_scores(self.task, base_output)))

    def rescale(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Map scores (rows, width)."""
        rescaled: NDArray[Any] = self.scale * scores + self.shift
        return rescaled

    def to_graph(self, graph: Graph, base_output: str) -> str:
        """Append the map; see `Head`."""
        scores = self.rescale_in_graph(graph, scores_to_graph(graph, self.task, base_output))
        return output_to_graph(graph, self.task, scores)

    def rescale_in_graph(self, graph: Graph, scores: str) -> str:
        """Append what `rescale` does."""
        scaled = graph.add("Mul", scores, graph.constant(np.array([self.scale])))
        return graph.add("Add", scaled, graph.constant(self.shift))


def fit_recalibration(
    data: TrainingSet, base_output: NDArray[Any], weights: NDArray[Any]
) -> Recalibration:
    """Fit the map; see `perennial.training.heads.fit_heads`."""
    scores = to_scores(data.task, base_output)
    trust = trust_in(weights)
    if data.task == "regression":
        fit = _absolute if data.metric == "mae" else _squares
        slope, shift = fit(scores[:, 0], data.y - scores[:, 0], weights)
        return Recalibration(data.task, 1, 1 + trust * slope, np.array([trust * shift]))
    seen = data.y[:, None] if data.task == "binary" else np.eye(data.width)[data.y]
    targets = trust * seen + (1 - trust) * to_output(data.task, scores)
    weights = weights / weights.sum()
    if data.task == "binary":
        scale, shift = _platt(scores[:, 0], targets[:, 0], weights)
        return Recalibration(data.task, 1, scale, np.array([shift]))
    scale, shifts = _maximum_likelihood(scores, targets, weights)
    return Recalibration(data.task, data.width, scale, shifts)


def trust_in(weights: NDArray[Any]) -> float:
    """What rows weigh beside the prior's, counted by Kish's effective sample size: 0 to 1."""
    effective = weights.sum() ** 2 / np.square(weights).sum()
    return float(effective / (effective + PRIOR_ROWS))


def _squares(
    score: NDArray[Any], error: NDArray[Any], weights: NDArray[Any]
) -> tuple[float, float]:
    """Slope and shift of the line through the errors, by weighted least squares."""
    centre = np.average(score, weights=weights)
    middle = np.average(error, weights=weights)
    spread = np.average((score - centre) ** 2, weights=weights)
    together = np.average((score - centre) * (error - middle), weights=weights)
    # Of answers that are all alike, the sums leave a trace of rounding, which is no spread.
    slope = float(together / spread) if spread > (_ROUNDING * centre) ** 2 else 0.0
    return slope, float(middle - slope * centre)


def _absolute(
    score: NDArray[Any], error: NDArray[Any], weights: NDArray[Any]
) -> tuple[float, float]:
    """The same by least absolute deviations: least squares, reweighted (Schlossmacher 1973)."""
    slope, shift = 0.0, float(np.median(error))
    size = np.median(np.abs(error))
    if size == 0:  # the base is right on half of the rows
        return 0.0, 0.0
    for _ in range(_STEPS):
        apart = np.abs(error - slope * score - shift)
        slope, shift = _squares(score, error, weights / np.maximum(apart, 1e-3 * size))
    return slope, shift


def _platt(score: NDArray[Any], target: NDArray[Any], weights: NDArray[Any]) -> tuple[float, float]:
    """Scale and shift of log-odds that make the targets most likely; see `_maximum_likelihood`.

    Args:
        target: probability of the second class; (rows,).
    """
    x = np.stack([score, np.ones_like(score)])
    start = np.array([1.0, 0.0])

    def loss(at: NDArray[Any]) -> float:
        odds = at @ x
        data = weights @ (np.logaddexp(0, odds) - target * odds)
        return float(data + _RIDGE / 2 * np.square(at - start).sum())

    def step(at: NDArray[Any]) -> NDArray[Any]:
        chance = to_output("binary", at @ x)
        gradient = x @ (weights * (chance - target)) + _RIDGE * (at - start)
        curvature = (x * (weights * chance * (1 - chance))) @ x.T
        return np.linalg.solve(curvature + _RIDGE * np.eye(2), gradient)

    scale, shift = _descend(start, loss, step)
    return float(scale), float(shift)


def _maximum_likelihood(
    scores: NDArray[Any], targets: NDArray[Any], weights: NDArray[Any]
) -> tuple[float, NDArray[Any]]:
    """Scale and shifts (classes,) of the softmax that makes the targets most likely, by Newton.

    Args:
        scores: (rows, classes).
        targets: probabilities, none of them 0, so that the optimum is finite; (rows, classes).
        weights: (rows,), 1 in all.
    """
    classes = scores.shape[1]
    start = np.r_[np.zeros(classes), 1.0]

    def loss(at: NDArray[Any]) -> float:
        logits = at[-1] * scores + at[:-1]
        top = logits.max(axis=1)
        total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        data = weights @ (total - (targets * logits).sum(axis=1))
        return float(data + _RIDGE / 2 * np.square(at - start).sum())

    def step(at: NDArray[Any]) -> NDArray[Any]:
        return _newton_step(scores, targets, weights, at, start)

    found = _descend(start, loss, step)
    return float(found[-1]), found[:-1]


def _descend(
    start: NDArray[Any],
    loss: Callable[[NDArray[Any]], float],
    step: Callable[[NDArray[Any]], NDArray[Any]],
) -> NDArray[Any]:
    """Find where a convex loss is least by Newton's steps, each halved until it goes down."""
    at, now = start, loss(start)
    for _ in range(_STEPS):
        move = step(at)
        share = 1.0
        while (then := loss(at - share * move)) > now and share > 1e-4:
            share /= 2
        if then >= now - 1e-12:
            break
        at, now = at - share * move, then
    return at


def _newton_step(
    scores: NDArray[Any],
    targets: NDArray[Any],
    weights: NDArray[Any],
    parameters: NDArray[Any],
    start: NDArray[Any],
) -> NDArray[Any]:
    chances = to_output("multiclass", parameters[-1] * scores + parameters[:-1])
    apart = weights[:, None] * (chances - targets)
    gradient = np.r_[apart.sum(axis=0), (apart * scores).sum()] + _RIDGE * (parameters - start)
    weighted = weights[:, None] * chances
    mean = (chances * scores).sum(axis=1)
    cross = (weighted * (scores - mean[:, None])).sum(axis=0)
    curvature = np.empty((len(parameters), len(parameters)))
    curvature[:-1, :-1] = np.diag(weighted.sum(axis=0)) - chances.T @ weighted
    curvature[:-1, -1] = curvature[-1, :-1] = cross
    curvature[-1, -1] = (weighted * scores**2).sum() - weights @ mean**2
    step: NDArray[Any] = np.linalg.solve(curvature + _RIDGE * np.eye(len(parameters)), gradient)
    return step
