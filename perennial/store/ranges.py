"""An object as a file that is read in ranges: a big Parquet file, a row group at a time."""

from __future__ import annotations

import io
import os

from perennial.store.objects import Store


class ObjectFile(io.RawIOBase):
    """A file to read and seek in. Reads fail with `Conflict` once the object was replaced.

    Args:
        size, etag: as a listing gave them.
    """

    def __init__(self, store: Store, key: str, *, size: int, etag: str) -> None:
        self._store = store
        self._key = key
        self._size = size
        self._etag = etag
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; as any file does."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes, or all that is left, by one request.

        Raises:
            Conflict: the object was replaced since it was listed.
            NotFound, StoreError: as `Store.get`.
        """
        left = max(0, self._size - self._at)
        length = left if size < 0 else min(size, left)
        if length == 0:
            return b""
        data = self._store.get_range(self._key, self._at, length, if_match=self._etag)
        self._at += len(data)
        return data

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer; as `read`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
