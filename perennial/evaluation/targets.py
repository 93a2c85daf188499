"""True values in the form that metrics take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.packaging.signature import Signature, canonical_label


def encode_known(labels: pd.Series, signature: Signature) -> tuple[NDArray[Any], NDArray[Any]]:
    """Bring labels into a model's terms and leave out those it has no terms for.

    Args:
        labels: numbers for regression, class labels otherwise; missing values may be among them.

    Returns:
        The targets of the rows kept, float64 for regression and int64 class indices otherwise, and
        a mask of shape (rows,) that says which rows were kept. A class that the model has never
        seen is not kept.
    """
    if signature.task == "regression":
        values = pd.to_numeric(labels, errors="coerce").to_numpy(np.float64)
        known = np.isfinite(values)
        return values[known], known
    indices = encode_labels(labels, signature.classes)
    known = indices >= 0
    return indices[known], known


def encode_labels(labels: pd.Series, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Find labels among known classes: (rows,), -1 for one that is missing or none of them."""
    place = {label: index for index, label in enumerate(classes)}
    found = [place.get(canonical_label(v), -1) if pd.notna(v) else -1 for v in labels]
    return np.array(found, dtype=np.int64)


def align_classes(
    output: NDArray[Any], given: tuple[str, ...], wanted: tuple[str, ...]
) -> NDArray[Any]:
    """Bring the columns of a multiclass output from one model's order of classes into another's.

    A class that the model does not know gets probability 0. Other outputs are returned as they are.
    """
    if output.shape[1] == 1 or given == wanted:
        return output
    aligned = np.zeros((len(output), len(wanted)), dtype=output.dtype)
    for place, label in enumerate(wanted):
        if label in given:
            aligned[:, place] = output[:, given.index(label)]
    return aligned
