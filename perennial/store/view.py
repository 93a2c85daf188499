"""A store as somebody sees it: some keys are hidden, and what is written stays in the view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import merge

from perennial.errors import NotFound, StoreError
from perennial.store.memory import MemoryStore
from perennial.store.objects import ObjectInfo, Store, StoredObject


class View(MemoryStore):
    """Reads through to a store and never writes to it.

    Args:
        store: what is looked at.
        hides: tells of a key of that store whether it cannot be seen.
    """

    def __init__(self, store: Store, hides: Callable[[str], bool]) -> None:
        super().__init__()
        self.bucket, self.endpoint, self.keys = store.bucket, store.endpoint, store.keys
        self._store = store
        self._hides = hides

    def get(self, key: str) -> StoredObject:
        """Read an object whole; see `Store.get`."""
        try:
            return super().get(key)
        except NotFound:
            if self._hides(key):
                raise
        return self._store.get(key)

    def scan(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects under a prefix in the order of their keys, those behind ``after``."""
        mine = list(super().scan(prefix, after=after))
        own = {info.key for info in mine}
        theirs = (
            info
            for info in self._store.scan(prefix, after=after)
            if info.key not in own and not self._hides(info.key)
        )
        return merge(mine, theirs, key=lambda info: info.key)

    def delete(self, key: str) -> None:
        """Nothing is removed in a view.

        Raises:
            StoreError: always.
        """
        raise StoreError(f"{key} is only looked at: nothing is removed in a view")
