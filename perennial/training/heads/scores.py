"""A model's output on the scale on which a head adds to it.

Values stay what they are; the probability of the second class becomes log-odds, one probability a
class becomes its logarithm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.packaging.graph import Graph
from perennial.spec import Task

SURE = 1e-6
"""Probabilities are held this far from 0 and 1, as the metrics do."""


def to_scores(task: Task, output: NDArray[Any]) -> NDArray[Any]:
    """Bring output (rows, width) onto the scale: float64 (rows, width)."""
    output = output.astype(np.float64)
    if task == "regression":
        return output
    chances = np.clip(output, SURE, 1 - SURE)
    scores: NDArray[Any] = np.log(chances)
    return scores if task == "multiclass" else scores - np.log1p(-chances)


def to_output(task: Task, scores: NDArray[Any]) -> NDArray[Any]:
    """Bring scores (rows, width) back: float64 (rows, width)."""
    if task == "regression":
        return scores
    if task == "binary":
        # The hyperbolic tangent does not overflow where the exponential would.
        half: NDArray[Any] = 0.5 * (1 + np.tanh(0.5 * scores))
        return half
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    output: NDArray[Any] = chances / chances.sum(axis=1, keepdims=True)
    return output


def scores_to_graph(graph: Graph, task: Task, output: str) -> str:
    """Append what `to_scores` does."""
    if task == "regression":
        return output
    low, high = (graph.constant(np.array(bound)) for bound in (SURE, 1 - SURE))
    chances = graph.add("Clip", output, low, high)
    scores = graph.add("Log", chances)
    if task == "multiclass":
        return scores
    rest = graph.add("Sub", graph.constant(np.ones(1)), chances)
    return graph.add("Sub", scores, graph.add("Log", rest))


def output_to_graph(graph: Graph, task: Task, scores: str) -> str:
    """Append what `to_output` does."""
    if task == "regression":
        return scores
    if task == "binary":
        return graph.add("Sigmoid", scores)
    return graph.add("Softmax", scores, axis=1)
