"""Losses of two models on the same rows, made to order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from perennial.rollout.evidence import Losses


def paired_losses(
    rows: int, worse: float, *, seed: int = 0, agreement: float = 0.8
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared errors (challenger, champion) whose means differ by the share ``worse``."""
    rng = np.random.default_rng(seed)
    theirs = rng.standard_normal(rows)
    mine = agreement * theirs + np.sqrt(1 - agreement**2) * rng.standard_normal(rows)
    return (1 + worse) * mine**2, theirs**2


def losses(rows: int, worse: float, *, seed: int = 0) -> Losses:
    """Losses without a bound."""
    return Losses(*paired_losses(rows, worse, seed=seed))
