"""Numbering the strings of a categorical column."""

from __future__ import annotations

from dataclasses import dataclass
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
    def learn(cls, column: NDArray[Any], *, min_count: int, limit: int) -> Levels:
        """Keep at most ``limit`` strings, each seen ``min_count`` times or more."""
        counts = pd.Series(column, dtype=object).value_counts()
        frequent = counts[counts >= min_count]
        ranked = sorted(frequent.items(), key=lambda item: (-item[1], item[0]))
        return cls(tuple(str(name) for name, _ in ranked[:limit]))

    @property
    def size(self) -> int:
        """Rows of a table that has one for each number."""
        return len(self.names) + 1

    def index(self, column: NDArray[Any]) -> NDArray[Any]:
        """Number the strings of a column: int64 (rows,)."""
        known = pd.Index(self.names, dtype=object)
        found: NDArray[Any] = known.get_indexer(pd.Index(column, dtype=object)).astype(np.int64) + 1
        return found


def learn_levels(categorical: NDArray[Any], *, min_count: int, limit: int) -> tuple[Levels, ...]:
    """Learn the levels of every column."""
    return tuple(
        Levels.learn(categorical[:, j], min_count=min_count, limit=limit)
        for j in range(categorical.shape[1])
    )


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
