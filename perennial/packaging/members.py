"""What each member of a packaged mixture answers, by the graph that serves.

A mixture's graph computes its members' answers under names of their own (`member_tensor`), and its
output from them. onnxruntime runs only what an output asks for, so a member without a share costs a
server nothing; asked for here, it answers all the same.
"""

from __future__ import annotations

from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from perennial.errors import ModelError
from perennial.packaging.predictor import Predictor
from perennial.packaging.signature import OUTPUT, Signature

_PREFIX = "member_"


def member_tensor(name: str) -> str:
    """Name the tensor that holds a member's answer."""
    return f"{_PREFIX}{name}"


class Members:
    """The members of a packaged mixture, and their mixture. Safe to share between threads.

    Args:
        model_bytes: the ONNX file.
        signature: what the graph takes and gives.

    Raises:
        ModelError: the bytes are no graph, or its inputs and output are not the signature's.
    """

    def __init__(self, model_bytes: bytes, signature: Signature) -> None:
        try:
            model = onnx.load_from_string(model_bytes)
        except Exception as error:  # protobuf's own error class is not part of its interface
            raise ModelError(f"the model is no ONNX graph: {error}") from error
        made = {name for node in model.graph.node for name in node.output}
        self._tensors = sorted(name for name in made if name.startswith(_PREFIX))
        shape = ["rows", signature.width]
        model.graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in self._tensors
        )
        self._predictor = Predictor(model.SerializeToString(), signature)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the members; none, where the graph is no mixture."""
        return tuple(name.removeprefix(_PREFIX) for name in self._tensors)

    def answer(
        self, numeric: NDArray[Any] | None, categorical: NDArray[Any] | None
    ) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """Answer rows, as `Predictor.predict`.

        Returns:
            The mixture's answer and that of each member by its name, float32 (rows, width).

        Raises:
            ModelError: the graph fails, or gives another shape.
        """
        served, *parts = self._predictor.run((OUTPUT, *self._tensors), numeric, categorical)
        return served, dict(zip(self.names, parts, strict=True))
