"""A small residual model: some twenty trees on the features and the base's output.

They start from the recalibrated base and boost its loss from there on (Friedman 2001; Ke et al.
2017): what they learn is where the base errs, not the whole task again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from perennial.packaging.graph import Graph
from perennial.packaging.trees import add_tree_ensemble
from perennial.spec import HeadDepth, Task
from perennial.threads import one_thread
from perennial.training.estimator import Columns, TrainingSet, both
from perennial.training.heads.boosting import boost
from perennial.training.heads.head import Head
from perennial.training.heads.recalibrate import Recalibration, fit_recalibration, trust_in
from perennial.training.heads.scores import (
    output_to_graph,
    scores_to_graph,
    to_output,
    to_scores,
)
from perennial.training.heads.split_points import (
    NOISE,
    count_below,
    find_split_points,
    split_at,
)
from perennial.training.hist_gradient_boosting import fill_empty_columns
from perennial.training.levels import lookup_levels
from perennial.training.target_encoding import TargetEncoder, fit_encoder, frequent_classes


@dataclass(frozen=True, eq=False)
class Correction(Head):
    """Trees that add to the scores of a recalibrated base."""

    depth: ClassVar[HeadDepth] = "correct"

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
        x = np.hstack([numeric, self.encoder.transform(categorical), base_output])
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


def fit_correction(
    data: TrainingSet, base_output: NDArray[Any], weights: NDArray[Any], *, seed: int
) -> Correction:
    """Fit the trees; see `perennial.training.heads.fit_head`."""
    start = fit_recalibration(data, base_output, weights)
    scores = start.rescale(to_scores(data.task, base_output))
    errors = _errors(data, to_output(data.task, scores))
    encoder, codes = fit_encoder(data.categorical, errors)
    x = fill_empty_columns(np.hstack([data.numeric, codes, base_output]))
    exact = x.shape[1] - data.width
    points = [
        find_split_points(column, noise=0.0 if place < exact else NOISE)
        for place, column in enumerate(x.T)
    ]
    counts = np.column_stack([count_below(*pair) for pair in zip(x.T, points, strict=True)])
    with one_thread():
        booster = boost(counts, data, scores, weights, seed)
    split_at(points, booster)
    return Correction(
        task=data.task,
        width=data.width,
        numeric_columns=data.numeric.shape[1],
        start=start,
        encoder=encoder,
        booster=booster,
        trust=trust_in(weights),
    )


def _errors(data: TrainingSet, output: NDArray[Any]) -> NDArray[Any]:
    """What categories are coded by: truth less answer, of the most frequent classes."""
    truth, answer = data.y[:, None], output
    if data.width > 1:
        frequent = frequent_classes(data)
        truth, answer = np.equal(truth, frequent), output[:, frequent]
    errors: NDArray[Any] = truth - answer
    return errors
