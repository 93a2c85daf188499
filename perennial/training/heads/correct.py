"""Small models of the newest rows: some trees on the features and the base's output.

A correction starts from the recalibrated base and boosts its loss from there on (Friedman 2001; Ke
et al. 2017): what it learns is where the base errs, not the whole task again. A renewal starts from
nothing, and learns the whole task from these rows, above all from the newest of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.packaging.graph import Graph
from perennial.packaging.trees import add_tree_ensemble
from perennial.spec import Task
from perennial.threads import one_thread
from perennial.training.estimator import Columns, TrainingSet, both
from perennial.training.heads.boosting import Size, boost
from perennial.training.heads.head import Head
from perennial.training.heads.recalibrate import Recalibration, fit_recalibration, trust_in
from perennial.training.heads.scores import (
    output_to_graph,
    scores_to_graph,
    to_output,
    to_scores,
)
from perennial.training.heads.split_points import NOISE, Counted, count_columns
from perennial.training.levels import lookup_levels
from perennial.training.target_encoding import (
    Numbered,
    TargetEncoder,
    encoding_targets,
    fit_encoder,
    frequent_classes,
    number_levels,
)

CORRECTION = Size(rounds=10, leaves=12, rate=0.35)
RENEWAL = Size(rounds=6, leaves=16, rate=0.5)
"""Few trees of more leaves: a tree costs more than a leaf."""


@dataclass(frozen=True, eq=False)
class Correction(Head):
    """Trees that add to the scores of a recalibrated base, or to a constant."""

    task: Task
    width: int
    numeric_columns: int
    start: Recalibration
    encoder: TargetEncoder
    booster: Any
    trust: float
    """What the trees count for: less after few rows, as in a recalibration."""

    def predict(
        self, numeric: Columns, categorical: Columns, base_output: NDArray[Any]
    ) -> NDArray[Any]:
        """Add what the trees say; see `Head`."""
        scores = self.start.rescale(to_scores(self.task, base_output))
        if not len(scores):  # scikit-learn wants one row at least
            return scores
        numeric, categorical = both(numeric, categorical)
        codes = self.encoder.transform(categorical)
        x = np.hstack([numeric, codes, base_output], dtype=np.float64)
        with one_thread():
            scores = scores + self.trust * self.booster._raw_predict(x)
        return to_output(self.task, scores)

    def to_graph(self, graph: Graph, base_output: str) -> str:
        """Append codes, trees, and their sum with the base's scores; see `Head`."""
        parts = [graph.numeric(self.numeric_columns)] if self.numeric_columns else []
        parts += lookup_levels(graph, self.encoder.levels, self.encoder.tables)
        trees = add_tree_ensemble(graph, graph.concat([*parts, base_output]), self.booster)
        added = graph.add("Mul", trees, graph.constant(np.array([self.trust])))
        scores = scores_to_graph(graph, self.task, base_output)
        total = graph.add("Add", self.start.rescale_in_graph(graph, scores), added)
        return output_to_graph(graph, self.task, total)


@dataclass(frozen=True, eq=False)
class Inputs:
    """What both models take from the same rows."""

    numeric: Counted
    categorical: Numbered


def prepare(data: TrainingSet) -> Inputs:
    """Choose split points of the numeric columns, and number the strings of the others."""
    return Inputs(count_columns(data.numeric), number_levels(data.categorical))


def fit_correction(
    data: TrainingSet,
    base_output: NDArray[Any],
    weights: NDArray[Any],
    inputs: Inputs,
) -> Correction:
    """Fit trees that start from the recalibrated base; see `perennial.training.heads.fit_heads`.

    Args:
        inputs: of ``data``, as `prepare` gives them.
    """
    start = fit_recalibration(data, base_output, weights)
    output = to_output(data.task, start.rescale(to_scores(data.task, base_output)))
    encoder, codes = fit_encoder(inputs.categorical, _errors(data, output))
    columns = inputs.numeric.beside(count_columns(codes), count_columns(base_output, noise=NOISE))
    return _grow(data, base_output, weights, start, encoder, columns, CORRECTION)


def fit_renewal(
    data: TrainingSet,
    base_output: NDArray[Any],
    weights: NDArray[Any],
    inputs: Inputs,
) -> Correction:
    """Fit trees that know nothing of the base: a small model of the newest rows alone.

    It is no better than the base, but errs elsewhere, and so is worth its share of a mixture.
    Arguments as `fit_correction`.
    """
    start = _nothing_but_the_mean(data, weights)
    encoder, codes = fit_encoder(inputs.categorical, encoding_targets(data))
    # A column without a split point: the trees do not look at the base.
    unseen = count_columns(np.zeros_like(base_output))
    columns = inputs.numeric.beside(count_columns(codes), unseen)
    return _grow(data, base_output, weights, start, encoder, columns, RENEWAL)


def _grow(
    data: TrainingSet,
    base_output: NDArray[Any],
    weights: NDArray[Any],
    start: Recalibration,
    encoder: TargetEncoder,
    columns: Counted,
    size: Size,
) -> Correction:
    scores = start.rescale(to_scores(data.task, base_output))
    return Correction(
        task=data.task,
        width=data.width,
        numeric_columns=data.numeric.shape[1],
        start=start,
        encoder=encoder,
        booster=boost(columns, data, scores, weights, size),
        trust=trust_in(weights),
    )


def _nothing_but_the_mean(data: TrainingSet, weights: NDArray[Any]) -> Recalibration:
    """A map of every output to what the rows are on average, each class with one row more."""
    if data.task == "regression":
        absolute = data.metric == "mae"
        middle = np.median(data.y) if absolute else np.average(data.y, weights=weights)
        return Recalibration(data.task, 1, 0.0, np.array([float(middle)]))
    classes = max(2, data.width)
    counts = np.bincount(data.y, weights=weights, minlength=classes) + 1
    scores = np.log(counts / counts.sum())
    shift = scores[1:] - scores[:1] if data.task == "binary" else scores
    return Recalibration(data.task, data.width, 0.0, shift)


def _errors(data: TrainingSet, output: NDArray[Any]) -> NDArray[Any]:
    """What categories are coded by: truth less answer, of the most frequent classes."""
    truth, answer = data.y[:, None], output
    if data.width > 1:
        frequent = frequent_classes(data)
        truth, answer = np.equal(truth, frequent), output[:, frequent]
    errors: NDArray[Any] = truth - answer
    return errors
