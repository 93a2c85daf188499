"""A scikit-learn HistGradientBoosting ensemble as one ONNX TreeEnsembleRegressor node.

Written by hand where skl2onnx has a converter, for exactness: scikit-learn compares a value with a
float64 threshold, ONNX with a float32 one. skl2onnx rounds the threshold to the nearest float32,
which may lie above it and then sends a row at the split point the other way. Rounded down, a
float32 value is on the same side of both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.packaging.graph import ML_DOMAIN, Graph


def add_tree_ensemble(graph: Graph, x: str, booster: Any) -> str:
    """Append the raw scores of a fitted booster without categorical features.

    Args:
        graph: where to.
        x: name of a float32 (rows, features) tensor.
        booster: a fitted HistGradientBoostingRegressor or -Classifier.

    Returns:
        Name of the raw scores, float32 (rows, trees an iteration).
    """
    iterations = booster._predictors
    trees = [tree.nodes for iteration in iterations for tree in iteration]
    targets = booster.n_trees_per_iteration_
    sizes = np.array([len(nodes) for nodes in trees])
    nodes = np.concatenate(trees)
    tree_ids = np.repeat(np.arange(len(trees)), sizes)
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    leaf = nodes["is_leaf"].astype(bool)
    return graph.add(
        "TreeEnsembleRegressor",
        x,
        domain=ML_DOMAIN,
        n_targets=targets,
        base_values=_floats(booster._baseline_prediction.ravel()),
        nodes_treeids=tree_ids.tolist(),
        nodes_nodeids=node_ids.tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_featureids=_branch(nodes["feature_idx"], leaf),
        nodes_values=_floats(np.where(leaf, 0.0, round_down(nodes["num_threshold"]))),
        nodes_truenodeids=_branch(nodes["left"], leaf),
        nodes_falsenodeids=_branch(nodes["right"], leaf),
        nodes_missing_value_tracks_true=_branch(nodes["missing_go_to_left"], leaf),
        target_treeids=tree_ids[leaf].tolist(),
        target_nodeids=node_ids[leaf].tolist(),
        target_ids=(tree_ids[leaf] % targets).tolist(),
        target_weights=_floats(nodes["value"][leaf]),
    )


def round_down(threshold: NDArray[Any]) -> NDArray[Any]:
    """Give the greatest float32 values that are not above float64 ones."""
    with np.errstate(over="ignore"):  # what is beyond float32 rounds to infinity, then down
        nearest = threshold.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf), dtype=np.float32)
    rounded: NDArray[Any] = np.where(nearest.astype(np.float64) > threshold, below, nearest)
    return rounded


def _branch(values: NDArray[Any], leaf: NDArray[Any]) -> list[int]:
    chosen: list[int] = np.where(leaf, 0, values.astype(np.int64)).tolist()
    return chosen


def _floats(values: NDArray[Any]) -> list[float]:
    listed: list[float] = values.astype(np.float32).tolist()
    return listed
