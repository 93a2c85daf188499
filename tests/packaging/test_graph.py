from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

from perennial.errors import ModelError
from perennial.packaging.graph import Graph
from perennial.packaging.predictor import Predictor
from perennial.packaging.signature import Feature, Signature

SIGNATURE = Signature(
    task="regression", target="y", features=(Feature(name="size", kind="numeric"),)
)


def times(factor: float) -> ModelProto:
    graph = Graph()
    return graph.finish(
        graph.add("Mul", graph.numeric(1), graph.constant(np.array([factor]))), width=1
    )


def predict(model: ModelProto) -> Any:
    numbers = np.array([[1.0], [2.0]], dtype=np.float32)
    return Predictor(model.SerializeToString(), SIGNATURE).predict(numbers, None)[:, 0]


def test_a_graph_takes_in_another_one_of_the_same_inputs() -> None:
    graph = Graph()
    inner = graph.include(times(10.0), "base_")
    own = graph.add("Add", graph.numeric(1), graph.constant(np.array([0.5])))
    np.testing.assert_array_equal(
        predict(graph.finish(graph.add("Add", inner, own), 1)), [11.5, 22.5]
    )


def test_a_graph_that_took_one_in_can_be_taken_in() -> None:
    middle = Graph()
    model = middle.finish(middle.add("Neg", middle.include(times(3.0), "base_")), 1)
    outer = Graph()
    np.testing.assert_array_equal(predict(outer.finish(outer.include(model, "base_"), 1)), [-3, -6])


def test_a_graph_for_other_operators_is_not_taken_in() -> None:
    model = times(2.0)
    model.opset_import[0].version = 15
    with pytest.raises(ModelError, match="package its model anew"):
        Graph().include(model, "base_")
