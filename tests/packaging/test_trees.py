from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor

from perennial.packaging.graph import Graph
from perennial.packaging.predictor import Predictor
from perennial.packaging.signature import Feature, Signature
from perennial.packaging.trees import add_tree_ensemble, round_down


@given(
    st.lists(st.floats(allow_nan=False), min_size=1, max_size=20),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20),
)
def test_a_float32_value_is_on_the_same_side_of_a_rounded_threshold(
    thresholds: list[float], values: list[float]
) -> None:
    exact, x = np.array(thresholds), np.array(values, dtype=np.float32)
    rounded = round_down(exact)
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(
        x[:, None] <= rounded[None, :], x[:, None].astype(np.float64) <= exact[None, :]
    )


def test_neighbouring_float32_values_stay_apart() -> None:
    """Where the split point lies between two neighbours, and rounding to nearest would fail."""
    low = np.float32(1.0) + np.arange(200, dtype=np.float32) * np.spacing(np.float32(1.0))
    y = np.tile([0.0, 1.0], 100)
    booster = HistGradientBoostingRegressor(
        max_iter=5, min_samples_leaf=1, max_leaf_nodes=None, early_stopping=False
    ).fit(low[:, None], y)
    graph = Graph()
    model = graph.finish(add_tree_ensemble(graph, graph.numeric(1), booster), 1)
    features = (Feature(name="x", kind="numeric"),)
    signature = Signature(task="regression", target="y", features=features)
    output = Predictor(model.SerializeToString(), signature).predict(low[:, None], None)
    np.testing.assert_allclose(output[:, 0], booster.predict(low[:, None]), atol=1e-6)
