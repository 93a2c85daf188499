"""What an observer keeps of the rows that it saw: some 50 bytes a row, and no text of an id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def hash_ids(ids: Iterable[str]) -> NDArray[np.uint64]:
    """64 bits for each id, the same at any time; of a million, two are alike once in 40 million
    cases."""
    hashed: NDArray[np.uint64] = pd.util.hash_array(
        np.array(list(ids), dtype=object), categorize=False
    )
    return hashed


class SeenRows:
    """A table that only grows. Rows are found by the hash of their id."""

    def __init__(self) -> None:
        self._columns: dict[str, NDArray[Any]] = {}
        self._fresh: list[Mapping[str, NDArray[Any]]] = []
        self._index = pd.Index(np.zeros(0, dtype=np.uint64))

    def add(self, ids: NDArray[np.uint64], columns: Mapping[str, NDArray[Any]]) -> None:
        """Append rows; always the same columns, (rows, ...) each."""
        self._fresh.append({"id": ids, **columns})

    def __len__(self) -> int:
        self._merge()
        return len(self._index)

    def __getitem__(self, name: str) -> NDArray[Any]:
        self._merge()
        return self._columns[name]

    def find(self, ids: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Number of each row, -1 where there is none."""
        self._merge()
        found: NDArray[np.intp] = self._index.get_indexer(ids)
        return found

    def _merge(self) -> None:
        if not self._fresh:
            return
        parts = [self._columns, *self._fresh] if self._columns else self._fresh
        self._columns = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        self._fresh = []
        self._index = pd.Index(self._columns["id"])
