"""What a graph may hold before a session sees it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from perennial.errors import ModelError
from perennial.packaging import vetting
from perennial.packaging.graph import Graph
from perennial.packaging.predictor import Predictor
from perennial.packaging.signature import Feature, Signature

SIGNATURE = Signature(task="regression", target="y", features=(Feature(name="x", kind="numeric"),))


def doubled() -> ModelProto:
    graph = Graph()
    return graph.finish(graph.add("Mul", graph.numeric(1), graph.constant(np.array([2.0]))), 1)


def test_a_graph_of_our_own_answers() -> None:
    answers = Predictor(doubled().SerializeToString(), SIGNATURE).predict(
        np.array([[3.0]], dtype=np.float32), None
    )
    assert answers.tolist() == [[6.0]]


def test_a_tensor_that_lies_in_a_file_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store.keys").write_bytes(b"AWS_SECRET=hunter2")
    monkeypatch.chdir(tmp_path)
    held = TensorProto(name="w", data_type=TensorProto.UINT8, dims=[18])
    held.data_location = TensorProto.EXTERNAL
    held.external_data.add(key="location", value="store.keys")
    nodes = [
        helper.make_node("Cast", ["numeric"], ["place"], to=TensorProto.INT64),
        helper.make_node("Gather", ["w", "place"], ["letter"], axis=0),
        helper.make_node("Cast", ["letter"], ["output"], to=TensorProto.FLOAT),
    ]
    put, got = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1])
        for name in ("numeric", "output")
    )
    opsets = [helper.make_opsetid("", 17)]
    graph = helper.make_graph(nodes, "g", [put], [got], [held])
    model = helper.make_model(graph, ir_version=8, opset_imports=opsets)
    with pytest.raises(ModelError, match="data lie in a file"):
        Predictor(model.SerializeToString(), SIGNATURE)


def _inside(model: ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Identity", ["numeric"], ["n"], body=body))


def _file_in_attribute(model: ModelProto) -> None:
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[1])
    tensor.external_data.add(key="location", value="store.keys")
    model.graph.node.append(helper.make_node("Identity", ["numeric"], ["n"], value=tensor))


def _function(model: ModelProto) -> None:
    identity = helper.make_node("Identity", ["a"], ["b"])
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("", "Mine", ["a"], ["b"], [identity], opsets))


def _sparse(model: ModelProto) -> None:
    model.graph.sparse_initializer.add(dims=[1 << 40])


def _large(model: ModelProto) -> None:
    model.graph.initializer.add(name="s", data_type=TensorProto.INT64, dims=[1]).int64_data.append(
        1 << 40
    )
    model.graph.node.append(helper.make_node("ConstantOfShape", ["s"], ["n"]))


def _operator(name: str, domain: str = "") -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        model.graph.node.append(helper.make_node(name, ["numeric"], ["n"], domain=domain))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_inside, "a graph inside 'Identity'"),
        (_file_in_attribute, "data lie in a file"),
        (_function, "functions of its own"),
        (_sparse, "sparse tensors"),
        (_large, "of a size that no input has"),
        (_operator("Loop"), "the operator '.Loop'"),
        (_operator("RandomNormal"), "the operator '.RandomNormal'"),
        (_operator("Gelu", "com.microsoft"), "the operator 'com.microsoft.Gelu'"),
        (
            lambda model: model.opset_import.append(helper.make_opsetid("com.microsoft", 1)),
            "operators of 'com.microsoft'",
        ),
    ],
)
def test_what_no_graph_of_ours_holds_is_refused(
    change: Callable[[ModelProto], None], message: str
) -> None:
    model = doubled()
    change(model)
    with pytest.raises(ModelError, match="which no graph of ours has") as caught:
        Predictor(model.SerializeToString(), SIGNATURE)
    assert message in str(caught.value)


def test_a_field_that_this_reader_does_not_know_is_refused() -> None:
    unknown = b"\xfa\x3f\x01x"  # field 1023, one byte
    with pytest.raises(ModelError, match="fields that are none of ONNX's"):
        vetting.vet_graph(doubled().SerializeToString() + unknown)


def test_a_graph_of_too_many_nodes_or_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vetting, "MAX_NODES", 1)
    with pytest.raises(ModelError, match="more than 1 nodes"):
        vetting.vet_graph(doubled().SerializeToString())
    monkeypatch.setattr(vetting, "MAX_BYTES", 10)
    with pytest.raises(ModelError, match="more than 10 bytes"):
        vetting.vet_graph(doubled().SerializeToString())
