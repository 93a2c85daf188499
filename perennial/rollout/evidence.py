"""What a look at a rollout sees, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _none() -> NDArray[Any]:
    return np.zeros(0)


@dataclass(frozen=True)
class Side:
    """One of the two models on the rows of a span."""

    rows: int = 0
    """Rows that both models were given."""
    failed: int = 0
    """Those for which it has no finite answer."""
    keys: int = 0
    """Routing keys of the stage that were sent to it; of a log without keys, requests."""
    latency: NDArray[Any] = field(default_factory=_none)
    """Microseconds that each request took which it answered."""


@dataclass(frozen=True)
class Losses:
    """Losses of both models on the same labelled rows, in the order in which labels came."""

    challenger: NDArray[Any] = field(default_factory=_none)
    """(rows,)"""
    champion: NDArray[Any] = field(default_factory=_none)
    """(rows,)"""
    bound: float | None = None
    """The largest loss that there can be; None: there is none."""
    slices: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """By ``column = value``: which of the rows lie in that slice, bool (rows,)."""

    def within(self, rows: NDArray[Any]) -> Losses:
        """Keep some of the rows; without slices."""
        return Losses(self.challenger[rows], self.champion[rows], self.bound)

    def __len__(self) -> int:
        return len(self.challenger)


@dataclass(frozen=True)
class Evidence:
    """All that a decision rests on. In the bake the new champion is the challenger here, and the
    champion before it the champion."""

    weight: float = 0.0
    """The challenger's share of the requests."""
    seconds: float = 0.0
    """Since the stage and weight began."""
    rows: int = 0
    """Rows of the stage that the challenger answered; in the shadow, those that it was shown."""
    challenger: Side = Side()
    champion: Side = Side()
    losses: Losses = Losses()
    shift: float | None = None
    """How far the two models' answers to the same rows lie apart
    (`perennial.evaluation.metrics.prediction_shift`)."""
    gate_shift: float | None = None
    """How far they lay apart at the gate; None: there was nobody to compare with."""
    refused: str | None = None
    """Why a server refuses to load the challenger, where one does."""
