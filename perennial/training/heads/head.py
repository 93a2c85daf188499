"""What every head can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import onnx
from numpy.typing import NDArray
from onnx import ModelProto

from perennial.errors import ModelError
from perennial.packaging.export import export
from perennial.packaging.graph import Graph
from perennial.packaging.signature import Signature
from perennial.spec import HeadDepth, Task
from perennial.training.estimator import Columns


class Head(ABC):
    """A small model on top of a base: it turns the base's output into a better one."""

    depth: ClassVar[HeadDepth]
    task: Task
    width: int
    """Columns of the output, the base's and its own."""

    @abstractmethod
    def predict(
        self, numeric: Columns, categorical: Columns, base_output: NDArray[Any]
    ) -> NDArray[Any]:
        """Answer rows.

        Args:
            numeric: float32 (rows, numeric features); None where there are none.
            categorical: strings (rows, categorical features); None where there are none.
            base_output: what the base's packaged graph gives for the rows, float32 (rows, width).

        Returns:
            float64 (rows, width), as `perennial.packaging.signature` says.
        """

    @abstractmethod
    def to_graph(self, graph: Graph, base_output: str) -> str:
        """Append the same to a graph; return the name of the output, float32 (rows, width)."""

    def compose(self, base: bytes, signature: Signature) -> bytes:
        """Put base and head into one graph; the same two give the same bytes.

        Args:
            base: ``model.onnx`` of the base, without a head.
            signature: of the base, and so of the composition.

        Raises:
            ModelError: the base is no graph of Perennial's, or does not fit the signature.
        """
        return export(_Composition(base, self), signature)


@dataclass(frozen=True)
class _Composition:
    base: bytes
    head: Head

    def to_onnx(self) -> ModelProto:
        graph = Graph()
        try:
            base = onnx.load_from_string(self.base)
        except Exception as error:  # protobuf's own error class is not part of its interface
            raise ModelError(f"the base is no ONNX graph: {error}") from error
        output = self.head.to_graph(graph, graph.include(base, "base_"))
        return graph.finish(output, self.head.width)
