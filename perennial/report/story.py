"""What a report tells, free of where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MarkKind = Literal["confirmed", "registered", "refused", "took over", "held"]


@dataclass(frozen=True)
class Mark:
    """Something that happened at the end of a window (counted from 1), or in it."""

    window: int
    kind: MarkKind
    text: str


@dataclass(frozen=True)
class Series:
    """The metric of one way to run the model, window by window; NaN where it is unknown."""

    name: str
    scores: list[float]
    pooled: float
    retrains: int
    corrections: int = 0


@dataclass(frozen=True)
class Story:
    """A stream, how each policy did on it, and what happened when."""

    pipeline: str
    metric: str
    greater_is_better: bool
    perennial: Series
    never: Series
    every: Series
    marks: tuple[Mark, ...]
    recovered: float | None
    """Of what retraining at every window gains; None where that is nothing."""
    nothing_to_recover: str = ""
    """Said so, where it is nothing."""

    @property
    def series(self) -> tuple[Series, ...]:
        """All policies, Perennial first."""
        return self.perennial, self.every, self.never
