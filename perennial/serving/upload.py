"""From closed segments on the local disk to Parquet files in the store, each exactly once.

The key of a segment is fixed by renaming the local file to it before anything is sent, and the put
is conditional on the key being free. So a process that is killed between the put and the removal
of the file repeats the put under the same key, is told that it stands, and removes the file.

Segments go up one at a time, in the order of their keys.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
from ulid import ULID

from perennial.errors import Conflict
from perennial.serving.liveness import is_alive
from perennial.serving.parquet import to_parquet
from perennial.serving.segment import (
    BROKEN,
    CLOSED,
    OPEN,
    SEALED,
    Segment,
    read_segment,
)
from perennial.store import Store, layout

logger = logging.getLogger(__name__)

PREFIXES = {"predictions": layout.prediction_log, "feedback": layout.feedback_log}


class Uploader:
    """Empties ``DIR/log`` into the store. One a directory.

    Args:
        directory: ``DIR/log``.
        locks: folder of the files that each worker holds a lock on while it lives.
    """

    def __init__(self, store: Store, directory: Path, locks: Path) -> None:
        self._store = store
        self._directory = directory
        self._locks = locks
        self._last = ULID()
        self.broken = 0
        """Segments that could not be read and were set aside."""

    def run_once(self) -> int:
        """Take up what dead workers left, and upload all that is complete.

        Returns:
            Rows that are in the store now and were not before.

        Raises:
            StoreError: the store is away; what is not uploaded yet stays on the disk.
        """
        close_orphans(self._directory, self._locks)
        rows = sum(self._guard(self._put_sealed, path) for path in _sorted(self._directory, SEALED))
        for path in _sorted(self._directory, CLOSED):
            rows += self._guard(self._seal_and_put, path)
        return rows

    def _guard(self, step: Callable[[Path], int], path: Path) -> int:
        """Set a segment aside that cannot be read, so that those behind it get through."""
        try:
            return step(path)
        except (ValueError, msgspec.DecodeError) as error:
            logger.error("segment %s cannot be read and is set aside: %s", path.name, error)
            self.broken += 1
            if path.exists():
                path.rename(path.with_name(path.name + BROKEN))
            return 0

    def _seal_and_put(self, path: Path) -> int:
        """Fix the key of a segment and put it; one without a whole record is removed."""
        segment = read_segment(path)
        if segment is None or segment.rows == 0:
            path.unlink()
            return 0
        self._last = _later_than(self._last)
        sealed = path.with_name(f"{self._last}.{segment.rows}{SEALED}")
        path.rename(sealed)
        return self._put(sealed, segment)

    def _put_sealed(self, path: Path) -> int:
        """Put a segment whose key was fixed before."""
        segment = read_segment(path)
        if segment is None:
            raise ValueError("its head is lost")
        if segment.rows != int(path.name.split(".")[1]):
            raise ValueError(f"{segment.rows} rows of it are left")
        return self._put(path, segment)

    def _put(self, path: Path, segment: Segment) -> int:
        ulid, rows, _ = path.name.split(".")
        prefix = PREFIXES[segment.head.kind](segment.head.pipeline)
        key = layout.log_segment(prefix, ulid, int(rows))
        try:
            self._store.put(key, to_parquet(segment), if_absent=True)
        except Conflict:
            # An earlier put arrived though its answer was lost, or its process was killed.
            self._store.get(key)
            rows = "0"
        path.unlink()
        return int(rows)


def _sorted(directory: Path, suffix: str) -> list[Path]:
    """Name the segments in one condition: sealed ones by key, others by age."""
    found = list(directory.glob(f"*/*/*{suffix}"))
    if suffix == SEALED:
        return sorted(found, key=lambda path: path.name)
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def _later_than(last: ULID) -> ULID:
    while True:
        ulid = ULID()
        if ulid > last:
            return ulid
        time.sleep(0.001)


def close_orphans(directory: Path, locks: Path) -> None:
    """Close the segments whose worker is dead, and forget its lock file."""
    dead = {writer for writer in _writers(locks) if not is_alive(locks / writer)}
    for path in directory.glob(f"*/*/*{OPEN}"):
        writer = path.name.rsplit("-", 1)[0]
        if writer in dead or not (locks / writer).exists():
            path.rename(path.with_suffix(CLOSED))
    for writer in dead:
        (locks / writer).unlink()


def _writers(locks: Path) -> Iterator[str]:
    return (path.name for path in locks.iterdir()) if locks.is_dir() else iter(())


@dataclass(frozen=True)
class Waiting:
    """What of the log is not in the store yet."""

    size: int
    """Bytes."""
    files: int
    since: float | None
    """When the oldest file was last written; seconds since the epoch."""


def count_waiting(directory: Path) -> Waiting:
    """Count what waits below ``DIR/log``."""
    found = []
    for path in directory.glob("*/*/*"):
        if path.suffix == BROKEN:
            continue
        try:
            found.append(path.stat())
        except FileNotFoundError:  # uploaded, or renamed, since it was listed
            continue
    return Waiting(
        sum(file.st_size for file in found),
        len(found),
        min((file.st_mtime for file in found), default=None),
    )
