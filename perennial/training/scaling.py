"""Numeric columns for models that need them complete and of one size."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.packaging.graph import Graph

REACH = 8.0


@dataclass(frozen=True, eq=False)
class Scaler:
    """Mean for what is missing, winsorised at 8 standard deviations, standardised.

    Columns that had missing values are followed by an indicator each. A column that was constant or
    empty in training becomes zero whatever comes later: nothing was learned about it.
    """

    mean: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    inverse_scale: NDArray[Any]
    flagged: NDArray[Any]
    """Indices of the columns with an indicator, int64."""

    @classmethod
    def learn(cls, numeric: NDArray[Any]) -> Scaler:
        """Learn from float32 (rows, columns); infinities are left out of mean and deviation."""
        finite = np.isfinite(numeric)
        count = np.maximum(finite.sum(axis=0), 1)
        values = np.where(finite, numeric, 0.0).astype(np.float64)
        mean = (values.sum(axis=0) / count).astype(np.float32)
        spread = np.where(finite, values - mean, 0.0)
        deviation = np.sqrt((spread**2).sum(axis=0) / count)
        reach = np.where(deviation > 1e-6 * np.abs(mean), deviation, 0.0)
        missing = np.isnan(numeric).sum(axis=0)
        return cls(
            mean=mean,
            low=(mean - REACH * reach).astype(np.float32),
            high=(mean + REACH * reach).astype(np.float32),
            inverse_scale=np.divide(1.0, reach, out=np.zeros_like(reach), where=reach > 0).astype(
                np.float32
            ),
            flagged=np.flatnonzero((missing > 0) & (missing < len(numeric))),
        )

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What was learned, by the names of the fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def width(self) -> int:
        """Columns after scaling."""
        return len(self.mean) + len(self.flagged)

    def transform(self, numeric: NDArray[Any]) -> NDArray[Any]:
        """Scale float32 (rows, columns) to float32 (rows, width)."""
        missing = np.isnan(numeric)
        filled = np.where(missing, self.mean, numeric)
        held = np.minimum(np.maximum(filled, self.low), self.high)
        scaled = (held - self.mean) * self.inverse_scale
        flags = missing[:, self.flagged].astype(np.float32)
        return np.concatenate([scaled, flags], axis=1)

    def to_graph(self, graph: Graph) -> list[str]:
        """Append the same; no tensor where there are no numeric columns."""
        if not len(self.mean):
            return []
        x = graph.numeric(len(self.mean))
        mean = graph.constant(self.mean)
        missing = graph.add("IsNaN", x)
        filled = graph.add("Where", missing, mean, x)
        raised = graph.add("Max", filled, graph.constant(self.low))
        held = graph.add("Min", raised, graph.constant(self.high))
        centred = graph.add("Sub", held, mean)
        parts = [graph.add("Mul", centred, graph.constant(self.inverse_scale))]
        if len(self.flagged):
            flags = graph.add("Cast", missing, to=1)
            parts.append(graph.add("Gather", flags, graph.constant(self.flagged), axis=1))
        return parts
