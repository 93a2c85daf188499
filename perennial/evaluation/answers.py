"""What a candidate and its champion answer to the same rows, with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from perennial.spec import MetricName, Task


@dataclass(frozen=True, eq=False)
class Answers:
    """All that a gate compares by."""

    task: Task
    metric: MetricName
    y: NDArray[Any]
    """True values or class indices of the gate's rows (rows,), in time order."""
    candidate: NDArray[Any]
    """Its output on them (rows, width)."""
    champion: NDArray[Any] | None
    """Its output on the same rows; None for a pipeline's first version."""
    training_y: NDArray[Any]
    """The candidate's training target, from which the trivial answers are taken."""
    lag: int = 1
    """Rows by which the truth is late."""

    @property
    def width(self) -> int:
        """Columns of an output."""
        return int(self.candidate.shape[1])
