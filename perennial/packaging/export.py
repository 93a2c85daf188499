"""A fitted model as the bytes of ``model.onnx``."""

from __future__ import annotations

from typing import Protocol

from onnx import ModelProto

from perennial.packaging.predictor import Predictor
from perennial.packaging.signature import Signature


class Exportable(Protocol):
    """Anything that can write itself, preprocessing included, as one graph."""

    def to_onnx(self) -> ModelProto:
        """Build the graph."""


def export(model: Exportable, signature: Signature) -> bytes:
    """Serialise a model; the same model gives the same bytes.

    Raises:
        ModelError: the graph cannot be loaded, or its inputs and output are not the signature's.
    """
    data: bytes = model.to_onnx().SerializeToString(deterministic=True)
    Predictor(data, signature)
    return data
