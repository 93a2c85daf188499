"""Numbering the strings of a categorical column."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.packaging.graph import Graph


@dataclass(frozen=True)
class Levels:
    """Strings that a model knows, the most frequent first.

    Their numbers start at 1; 0 is every other string. The empty string (missing) is a level like
    any other.
    """

    names: tuple[str, ...]

    @classmethod
    def learn(
        cls, column: NDArray[Any], *, min_count: int, limit: int
    ) -> tuple[Levels, NDArray[Any]]:
        """Keep at most ``limit`` strings, each seen ``min_count`` times or more.

        Returns:
            The levels, and the column as `index` would number it.
        """
        codes, names = pd.factorize(column, use_na_sentinel=False)
        counts = np.bincount(codes, minlength=len(names)).tolist()
        frequent = [place for place, count in enumerate(counts) if count >= min_count]
        ranked = sorted(frequent, key=lambda place: (-counts[place], names[place]))[:limit]
        numbers = np.zeros(len(names), dtype=np.int64)
        numbers[ranked] = np.arange(1, len(ranked) + 1)
        return cls(tuple(str(names[place]) for place in ranked)), numbers[codes]

    @property
    def size(self) -> int:
        """Rows of a table that has one for each number."""
        return len(self.names) + 1

    def index(self, column: NDArray[Any]) -> NDArray[Any]:
        """Number the strings of a column: int64 (rows,)."""
        found = self._numbers.get_indexer(pd.Index(column, dtype=object))
        numbers: NDArray[Any] = found.astype(np.int64) + 1
        return numbers

    @cached_property
    def _numbers(self) -> pd.Index:
        return pd.Index(self.names, dtype=object)


def learn_levels(
    categorical: NDArray[Any], *, min_count: int, limit: int
) -> tuple[tuple[Levels, ...], NDArray[Any]]:
    """Learn the levels of every column; numbers of all columns, as `index_levels` gives them."""
    numbered = np.zeros(categorical.shape, dtype=np.int64)
    levels = []
    for j, column in enumerate(categorical.T):
        known, numbered[:, j] = Levels.learn(column, min_count=min_count, limit=limit)
        levels.append(known)
    return tuple(levels), numbered


def index_levels(levels: tuple[Levels, ...], categorical: NDArray[Any]) -> NDArray[Any]:
    """Number all columns: int64 (rows, columns)."""
    numbered = np.zeros(categorical.shape, dtype=np.int64)
    for j, known in enumerate(levels):
        numbered[:, j] = known.index(categorical[:, j])
    return numbered


def lookup_levels(
    graph: Graph, levels: tuple[Levels, ...], tables: tuple[NDArray[Any], ...]
) -> list[str]:
    """Append, for each categorical column, its table's row for each string: (rows, width) each."""
    if not levels:
        return []
    categorical = graph.categorical(len(levels))
    return [
        graph.lookup(table, graph.level_index(graph.column(categorical, j), known.names))
        for j, (known, table) in enumerate(zip(levels, tables, strict=True))
    ]
