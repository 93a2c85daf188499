"""Sines and cosines of scaled numbers, so that a network can follow what is not monotone.

A rectified network learns a daily curve over the hour slowly; over a few waves of the hour, quickly
(Tancik et al. 2020; Gorishniy et al. 2022). The frequencies are fixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.packaging.graph import Graph

FREQUENCIES = (1.0, 2.0, 4.0)
"""Radians a standard deviation."""


def waves_width(columns: int) -> int:
    """Columns after `add_waves`."""
    return columns * (1 + 2 * len(FREQUENCIES))


def add_waves(scaled: NDArray[Any]) -> NDArray[Any]:
    """Put waves beside float32 (rows, columns): float32 (rows, `waves_width`)."""
    parts = [scaled]
    for frequency in FREQUENCIES:
        angle = np.float32(frequency) * scaled
        parts += [np.sin(angle), np.cos(angle)]
    return np.hstack(parts)


def waves_to_graph(graph: Graph, scaled: str) -> list[str]:
    """Append the same, as tensors to be joined."""
    parts = [scaled]
    for frequency in FREQUENCIES:
        angle = graph.add("Mul", scaled, graph.constant(np.array([frequency])))
        parts += [graph.add("Sin", angle), graph.add("Cos", angle)]
    return parts
