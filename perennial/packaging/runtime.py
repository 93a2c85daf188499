"""What a graph asks of the runtime that serves it."""

from __future__ import annotations


def graph_formats(model: bytes) -> tuple[int, dict[str, int]]:
    """Read a graph's IR version, and the version of its operators by domain."""
    from onnx import ModelProto

    proto = ModelProto.FromString(model)
    return proto.ir_version, {o.domain: o.version for o in sorted(proto.opset_import, key=str)}
