"""Rows that are held out for judging and stand in the training too."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MANY = 0.01
"""A smaller share of the rows is not looked into."""

_DIGITS = 6
_HALF = 0.5

Hashes = NDArray[np.uint64]


class Duplicates(NamedTuple):
    """Shares of held-out rows."""

    same: float
    """Equal to a row of the training, target and all."""
    near: float
    """Of those that equal none, or of all where half do: beside a row of the training that differs
    from it in exactly one column."""
    rows: int
    """How many are equal."""

    @property
    def are_copies(self) -> bool:
        """Whether the equal rows are copies, and not what few possible values make likely.

        Where rows coincide by chance, many more differ in a single column.
        """
        return self.same >= MANY and self.near < self.same


def find_duplicates(training: pd.DataFrame, held: pd.DataFrame) -> Duplicates:
    """Count held-out rows that equal a row of the training in every column.

    Args:
        training, held: the same columns: features and target, and nothing that dates a row.
    """
    if held.empty or training.empty:
        return Duplicates(0.0, 0.0, 0)
    both = pd.concat([training, held], ignore_index=True)
    columns = [_hashes(both[name], place) for place, name in enumerate(both.columns)]
    whole = np.sum(columns, axis=0, dtype=np.uint64)
    same = _count(whole, len(training))
    near = np.zeros(len(held), dtype=bool)
    for column in columns if (same > 0).mean() >= MANY else ():
        near |= _count(whole - column, len(training)) > same
    # Copies come from where rows may well resemble one another: the others tell what is by chance.
    copies = same > 0
    usual = near[~copies] if copies.mean() < _HALF else near
    return Duplicates(float(copies.mean()), float(usual.mean()), int(copies.sum()))


def _count(hashes: Hashes, training: int) -> NDArray[np.intp]:
    """How many rows of the training have each held-out row's hash."""
    known = np.sort(hashes[:training])
    asked = hashes[training:]
    found: NDArray[np.intp] = np.searchsorted(known, asked, "right") - np.searchsorted(known, asked)
    return found


def _hashes(column: pd.Series, place: int) -> Hashes:
    """One hash a value, another one for the same value in another column.

    Numbers count as the same where they agree in their first digits: a copy may have been rounded.
    """
    if pd.api.types.is_float_dtype(column):
        known = column.to_numpy(dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            unit = 10.0 ** (np.floor(np.log10(np.abs(known))) - _DIGITS + 1)
            column = pd.Series(np.where(known == 0, 0.0, np.round(known / unit) * unit))
    codes, _ = pd.factorize(column)
    values: NDArray[Any] = (codes + 1).astype(np.uint64) * np.uint64(1_000_003) + np.uint64(place)
    hashed: Hashes = pd.util.hash_array(values)
    return hashed
