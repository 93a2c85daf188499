"""What every head can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from numpy.typing import NDArray

from perennial.packaging.graph import Graph
from perennial.spec import Task
from perennial.training.estimator import Columns


class Head(ABC):
    """A small model on top of a base: it turns the base's output into a better one."""

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
