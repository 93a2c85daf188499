"""Heads whose answers are mixed with their base's, at the shares that trials have shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from perennial.evaluation.mixing import Mixture
from perennial.packaging.graph import Graph
from perennial.spec import HeadDepth, Task
from perennial.training.estimator import Columns
from perennial.training.heads.head import Head


@dataclass(frozen=True, eq=False)
class MixedHeads(Head):
    """``base + sum of share * (head - base)``: between the answers, never beyond them."""

    depth: ClassVar[HeadDepth] = "correct"

    task: Task
    width: int
    heads: tuple[Head, ...]
    shares: tuple[float, ...]
    """Of the heads, above 0, together at most 1."""

    def predict(
        self, numeric: Columns, categorical: Columns, base_output: NDArray[Any]
    ) -> NDArray[Any]:
        """Mix the answers; see `Head`."""
        mixed = base_output.astype(np.float64)
        for head, share in zip(self.heads, self.shares, strict=True):
            mixed = mixed + share * (head.predict(numeric, categorical, base_output) - base_output)
        return mixed

    def to_graph(self, graph: Graph, base_output: str) -> str:
        """Append the heads and their mixture; see `Head`."""
        mixed = base_output
        for head, share in zip(self.heads, self.shares, strict=True):
            move = graph.add("Sub", head.to_graph(graph, base_output), base_output)
            part = graph.add("Mul", move, graph.constant(np.array([share])))
            mixed = graph.add("Add", mixed, part)
        return mixed


def mix_heads(mixture: Mixture, heads: tuple[Head, ...]) -> Head:
    """Give the heads their shares.

    Args:
        mixture: shares; at least one head has a part.
        heads: as `perennial.training.heads.fit_heads` gives them.
    """
    parts = [pair for pair in zip(heads, mixture.shares, strict=True) if pair[1] > 0]
    return MixedHeads(
        task=heads[0].task,
        width=heads[0].width,
        heads=tuple(head for head, _ in parts),
        shares=tuple(share for _, share in parts),
    )
