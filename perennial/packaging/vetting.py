"""What a graph may hold before any session sees it.

A graph comes from the store, so whoever can write there can write one. A session reads files that
a tensor names as its external data, calls operators of any domain that it knows, and runs loops:
only what `perennial.packaging` makes is let through.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from perennial.errors import ModelError

MAX_BYTES = 1 << 30
MAX_NODES = 200_000
MAX_TENSORS = 200_000
_ML = "ai.onnx.ml"
OPERATORS = {
    "": frozenset(
        (
            *("Add", "Cast", "Clip", "Compress", "Concat", "ConstantOfShape", "Cos", "Equal"),
            *("Gather", "Gemm", "Greater", "Identity", "IsNaN", "Log", "MatMul", "Max", "Min"),
            *("Mul", "Neg", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Shape", "Sigmoid"),
            *("Sin", "Size", "Softmax", "Sub", "Sum", "Where"),
        )
    ),
    _ML: frozenset(("LabelEncoder", "TreeEnsembleRegressor")),
}
"""Operators by domain. None has a graph inside, draws numbers or keeps a state."""


def vet_graph(model: bytes) -> None:
    """See that a graph holds operators and tensors of its own, and nothing else.

    Raises:
        ModelError: the bytes are no graph, or it holds more than is allowed; says what.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    if len(model) > MAX_BYTES:
        raise ModelError(f"the model cannot be loaded: it has more than {MAX_BYTES:,} bytes")
    try:
        proto = ModelProto.FromString(model)
    except DecodeError:
        raise ModelError("the model cannot be loaded: it is no ONNX graph") from None
    # What this reader passes over another one may know.
    proto.DiscardUnknownFields()
    if proto.ByteSize() != len(model):
        raise _refusal("fields that are none of ONNX's")
    if foreign := {opset.domain for opset in proto.opset_import} - OPERATORS.keys():
        raise _refusal(f"operators of {_shown(foreign)}")
    if proto.functions or proto.training_info:
        raise _refusal("functions of its own")
    graph = proto.graph
    if len(graph.node) > MAX_NODES or len(graph.initializer) > MAX_TENSORS:
        raise _refusal(f"more than {MAX_NODES:,} nodes or {MAX_TENSORS:,} tensors")
    if graph.sparse_initializer:
        raise _refusal("sparse tensors")
    for tensor in graph.initializer:
        _vet_tensor(tensor)
    _vet_nodes(graph.node)


def _vet_nodes(nodes: Iterable[Any]) -> None:
    shapes = set()
    for node in nodes:
        if node.op_type not in OPERATORS.get(node.domain, ()):
            raise _refusal(f"the operator {_shown((f'{node.domain}.{node.op_type}',))}")
        if node.op_type == "Shape":
            shapes.update(node.output)
        # A constant as the shape may ask for any memory.
        if node.op_type == "ConstantOfShape" and not shapes.issuperset(node.input):
            raise _refusal("a tensor of a size that no input has")
        for attribute in node.attribute:
            kinds = ("g", "graphs", "sparse_tensor", "sparse_tensors", "tp", "type_protos")
            held = {field.name for field, _ in attribute.ListFields()}
            if not held.isdisjoint(kinds) or attribute.ref_attr_name:
                raise _refusal(f"a graph inside {_shown((node.op_type,))}")
            for tensor in (attribute.t, *attribute.tensors):
                _vet_tensor(tensor)


def _vet_tensor(tensor: Any) -> None:
    if tensor.data_location or tensor.external_data:
        raise _refusal("a tensor whose data lie in a file")


def _refusal(what: str) -> ModelError:
    return ModelError(f"the model cannot be loaded: it has {what}, which no graph of ours has")


def _shown(names: Iterable[str]) -> str:
    return ", ".join(repr(name[:100]) for name in sorted(names)[:5])
