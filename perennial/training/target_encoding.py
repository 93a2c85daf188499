"""Categories as the mean target of their rows (Micci-Barreca 2001), cross-fitted.

A row's own target does not go into its own code: the training rows are cut into blocks of time, and
each block is coded by the others. Blocks rather than random folds, because neighbours in time share
more than their category: a code learned from the same afternoon promises too much. A block that is
above the others in all its categories lowers their overall mean, which would tell of the block, so
codes are taken against the mean of the blocks that they come from.

A category whose target changes would tell of the block, too: trees would learn to know a time by
its code, and take rows to come for those of another. So a category that is frequent in the other
blocks is coded by all its rows, as it will be in service; there a row's own target hardly counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.training.estimator import TrainingSet
from perennial.training.levels import Levels, index_levels, learn_levels

FOLDS = 5
SMOOTHING = 20.0
"""Rows of the overall mean that are mixed into each category's own."""
ENOUGH = 5 * SMOOTHING
"""With so many rows in other blocks a category is coded by all its rows, as it will be later."""
MAX_LEVELS = 10_000
MAX_CLASSES = 10
"""Multiclass targets are coded against this many of the most frequent classes."""


Numbered = tuple[tuple[Levels, ...], NDArray[Any]]
"""The levels of each categorical column, and numbers for its strings: (rows, columns)."""


@dataclass(frozen=True, eq=False)
class TargetEncoder:
    """Codes for every categorical column."""

    levels: tuple[Levels, ...]
    tables: tuple[NDArray[Any], ...]
    """One float32 (levels + 1, targets) a column; row 0 codes rare and unseen strings."""

    def transform(self, categorical: NDArray[Any]) -> NDArray[Any]:
        """Code strings (rows, columns) as float32 (rows, columns * targets)."""
        numbered = index_levels(self.levels, categorical)
        codes = [table[numbered[:, j]] for j, table in enumerate(self.tables)]
        return np.hstack([np.empty((len(categorical), 0), dtype=np.float32), *codes])


def fit_target_encoder(data: TrainingSet) -> tuple[TargetEncoder, NDArray[Any]]:
    """Learn the codes.

    Returns:
        The encoder for rows to come, and the cross-fitted codes of the training rows, float32
        (rows, columns * targets).
    """
    return fit_encoder(number_levels(data.categorical), encoding_targets(data))


def number_levels(categorical: NDArray[Any]) -> Numbered:
    """Number the strings (rows, columns) that occur twice, from 1 on; 0 is any other."""
    return learn_levels(categorical, min_count=2, limit=MAX_LEVELS)


def fit_encoder(categorical: Numbered, targets: NDArray[Any]) -> tuple[TargetEncoder, NDArray[Any]]:
    """Learn codes for other targets than the model's: float64 (rows, any).

    Args:
        categorical: of the same rows, as `number_levels` gives them.

    Returns:
        As `fit_target_encoder`.
    """
    levels, numbered = categorical
    folds = np.arange(len(targets)) * FOLDS // len(targets)
    tables, codes = [], [np.empty((len(targets), 0), dtype=np.float32)]
    for j, known in enumerate(levels):
        table, code = _encode(numbered[:, j], known.size, targets, folds)
        tables.append(table)
        codes.append(code)
    return TargetEncoder(levels, tuple(tables)), np.hstack(codes)


def encoding_targets(data: TrainingSet) -> NDArray[Any]:
    """Give what is averaged: values, or indicators of classes; float64 (rows, targets)."""
    column: NDArray[Any] = data.y[:, None]
    if data.width == 1:  # values, or 1 for the second of two classes
        return column.astype(np.float64)
    indicators: NDArray[Any] = np.equal(column, frequent_classes(data)).astype(np.float64)
    return indicators


def frequent_classes(data: TrainingSet) -> NDArray[Any]:
    """Indices of the classes that categories are coded by, at most `MAX_CLASSES`, growing."""
    counts = np.bincount(data.y, minlength=data.width)
    return np.sort(np.argsort(-counts, kind="stable")[:MAX_CLASSES])


def _encode(
    index: NDArray[Any], size: int, targets: NDArray[Any], folds: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    cells = folds * size + index

    def sum_up(weights: NDArray[Any] | None) -> NDArray[np.float64]:
        found = np.bincount(cells, weights=weights, minlength=FOLDS * size)
        return found.astype(np.float64).reshape(FOLDS, size)

    counts = sum_up(None)
    sums = np.stack([sum_up(column) for column in targets.T], axis=-1)
    rest_counts = counts.sum(axis=0) - counts
    rest_sums = sums.sum(axis=0) - sums
    overall = _overall(counts.sum(axis=0), sums.sum(axis=0))
    by_fold = [
        _smooth(c, s) - _overall(c, s) + overall
        for c, s in zip(rest_counts, rest_sums, strict=True)
    ]
    table = _smooth(counts.sum(axis=0), sums.sum(axis=0))
    codes = np.where(rest_counts[..., None] < ENOUGH, np.stack(by_fold), table)
    return table.astype(np.float32), codes.astype(np.float32)[folds, index]


def _smooth(counts: NDArray[Any], sums: NDArray[Any]) -> NDArray[Any]:
    """Mix each level's mean with the overall one: float64 (levels, targets)."""
    mixed: NDArray[Any] = (sums + SMOOTHING * _overall(counts, sums)) / (
        counts[:, None] + SMOOTHING
    )
    return mixed


def _overall(counts: NDArray[Any], sums: NDArray[Any]) -> NDArray[Any]:
    mean: NDArray[Any] = sums.sum(axis=0) / max(counts.sum(), 1.0)
    return mean
