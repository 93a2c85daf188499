"""A bucket in memory: what a backtest keeps its record in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from perennial.errors import Conflict, NotFound, StoreError
from perennial.store.lease import utc_now
from perennial.store.objects import ObjectInfo, Store, StoredObject


class MemoryStore(Store):
    """Speaks as `Store`, and forgets all with the process.

    Args:
        clock: what tells when an object came.
    """

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__(None, "memory")
        self._clock = clock
        self._objects: dict[str, tuple[ObjectInfo, bytes]] = {}

    def get(self, key: str) -> StoredObject:
        """Read an object whole; see `Store.get`."""
        if key not in self._objects:
            raise NotFound(key)
        info, data = self._objects[key]
        return StoredObject(key, data, info.etag)

    def get_if_changed(self, key: str, etag: str | None) -> StoredObject | None:
        """Read an object unless it still carries ``etag``."""
        found = self.get(key)
        return None if found.etag == etag else found

    def get_range(self, key: str, start: int, length: int, *, if_match: str | None = None) -> bytes:
        """Read ``length`` bytes of an object from ``start`` on; see `Store.get_range`."""
        found = self.get(key)
        if if_match not in (None, found.etag):
            raise Conflict(key)
        return found.data[start : start + length]

    def put(
        self,
        key: str,
        data: bytes,
        *,
        if_absent: bool = False,
        if_match: str | None = None,
        content_type: str = "application/octet-stream",  # noqa: ARG002
    ) -> str:
        """Write an object and return its ETag; see `Store.put`."""
        if if_absent or if_match is not None:
            stands = self.find(key)
            is_other = if_match is not None and (stands is None or stands.etag != if_match)
            if is_other or (if_absent and stands is not None):
                if stands is not None and stands.data == data:
                    return stands.etag
                raise Conflict(key)
        etag = hashlib.sha256(data).hexdigest()
        self._objects[key] = ObjectInfo(key, len(data), etag, self._clock()), data
        return etag

    def scan(self, prefix: str, *, after: str | None = None) -> Iterator[ObjectInfo]:
        """Yield the objects under a prefix in the order of their keys, those behind ``after``."""
        for key in sorted(self._objects):
            if key.startswith(prefix) and (after is None or key > after) and key in self._objects:
                yield self._objects[key][0]

    def folders(self, prefix: str = "") -> list[str]:
        """Name the folders right below a prefix, without their slash."""
        below = (info.key.removeprefix(prefix) for info in self.scan(prefix))
        return sorted({name.split("/")[0] for name in below if "/" in name})

    def upload(self, key: str, file: Path, progress: Callable[[int], None]) -> None:
        """Write a file over what lies there; see `Store.upload`."""
        data = file.read_bytes()
        self.put(key, data)
        progress(len(data))

    def link(self, key: str, seconds: int) -> str:  # noqa: ARG002
        """No browser reads this memory.

        Raises:
            StoreError: always.
        """
        raise StoreError(f"{key} lies in memory: there is no address for it")

    def delete(self, key: str) -> None:
        """Remove an object; an absent one is no error."""
        self._objects.pop(key, None)

    def ensure_bucket(self) -> None:
        """It is there."""
