"""Keeping the newest rows aside."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.spec import Task


def newest(y: NDArray[Any], task: Task, share: float) -> NDArray[Any]:
    """Mark the newest rows, the ones that a model is tried on.

    A class that occurs among the newest rows only stays with the older ones: no model can be tried
    on a class that it has never seen.

    Args:
        y: target in time order, (rows,).
        task: of the pipeline.
        share: part of the rows, between 0 and 1.

    Returns:
        bool (rows,), True for the newest.
    """
    mask = np.zeros(len(y), dtype=bool)
    mask[len(y) - int(len(y) * share) :] = True
    if task != "regression":
        mask &= np.isin(y, np.unique(y[~mask]))
    return mask
