"""Merge the small segments of a log into files of sensible size.

`perennial.datasets.log` says why no row is lost or doubled, whatever dies when.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from perennial.datasets.log_reader import parse_segment
from perennial.datasets.merged import MergedFile, merge, open_merged
from perennial.errors import Conflict, NotFound, StoreError
from perennial.store import ObjectInfo, Store, layout


@dataclass(frozen=True)
class Target:
    """What a merged file should hold. It is full with either."""

    rows: int = 500_000
    size: int = 64 << 20
    """Bytes of the segments, as they lie in the store."""
    fewest: int = 16
    """Segments that are worth a file which is not full; fewer wait for the next compaction."""

    def is_full(self, rows: int, size: int) -> bool:
        """Tell whether so much is enough for a file."""
        return rows >= self.rows or size >= self.size

    def suits(self, info: ObjectInfo) -> bool:
        """Tell whether a segment is so big already that merging it would not pay."""
        return self.is_full(2 * layout.segment_rows(info.key), 2 * info.size)


@dataclass(frozen=True)
class Compacted:
    """What a compaction of one log did."""

    files: int = 0
    """Files written."""
    segments: int = 0
    """Segments in them."""
    rows: int = 0
    removed: int = 0
    """Objects that a merged file replaces and that are gone now, leftovers of others included."""

    def __add__(self, other: Compacted) -> Compacted:
        return Compacted(
            self.files + other.files,
            self.segments + other.segments,
            self.rows + other.rows,
            self.removed + other.removed,
        )


def compact(store: Store, prefix: str, target: Target, *, before: datetime) -> Iterator[Compacted]:
    """Compact a log, and yield what was done after each file.

    Memory holds one file's worth of rows. Ends early without harm wherever it is stopped, and may
    run beside servers, readers and itself.

    Args:
        prefix: the log's.
        before: segments that were put later than this are left alone.

    Raises:
        StoreError: the store cannot be reached, or a segment is damaged.
    """
    segments, files = _take_stock(store, prefix)
    yield Compacted(removed=sum(_remove_replaced(store, file, segments) for file in files))
    replaced = {key for file in files for key, _, _ in file.members()}
    small = [
        info
        for key, info in sorted(segments.items())
        if key not in replaced and info.modified < before and not target.suits(info)
    ]
    for pile in _piles(store, small, target):
        yield _write(store, prefix, pile)


def _take_stock(store: Store, prefix: str) -> tuple[dict[str, ObjectInfo], list[MergedFile]]:
    """List the segments that are objects of their own, by key, and the files that may hold them.

    A merged file sorts behind all that it holds, so one before the oldest object holds none.
    """
    infos = list(store.scan(prefix))
    segments = {info.key: info for info in infos if not layout.is_merged(info.key)}
    oldest = min(segments, default=None)
    if oldest is None:
        return {}, []
    merged = [info for info in infos if info.key not in segments and info.key > oldest]
    return segments, [open_merged(store, info) for info in merged]


@dataclass
class _Pile:
    """Segments of one schema that will be a file."""

    infos: list[ObjectInfo] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    rows: int = 0
    size: int = 0

    def add(self, info: ObjectInfo, table: pa.Table) -> None:
        self.infos.append(info)
        self.tables.append(table)
        self.rows += table.num_rows
        self.size += info.size

    def takes(self, table: pa.Table) -> bool:
        return bool(self.tables[0].schema.equals(table.schema, check_metadata=True))


def _piles(store: Store, small: list[ObjectInfo], target: Target) -> Iterator[_Pile]:
    """Read segments and yield piles, as soon as all that is held would fill a file.

    Segments of several schemas alternate while a challenger of another one answers.
    """
    open_piles: list[_Pile] = []
    for info in small:
        table = _read(store, info)
        if table is None:
            continue
        pile = next((pile for pile in open_piles if pile.takes(table)), None)
        if pile is None:
            pile = _Pile()
            open_piles.append(pile)
        pile.add(info, table)
        if target.is_full(sum(p.rows for p in open_piles), sum(p.size for p in open_piles)):
            fullest = max(open_piles, key=lambda p: p.size)
            open_piles.remove(fullest)
            if len(fullest.infos) > 1:
                yield fullest
    yield from (pile for pile in open_piles if len(pile.infos) >= max(2, target.fewest))


def _read(store: Store, info: ObjectInfo) -> pa.Table | None:
    """Read a segment; None where another compaction took it since it was listed."""
    try:
        data = store.get(info.key).data
    except NotFound:
        return None
    return parse_segment(data, info.key)


def _write(store: Store, prefix: str, pile: _Pile) -> Compacted:
    key, data = merge(prefix, pile.infos, pile.tables)
    with suppress(Conflict):  # another compaction was first, and its file is read next
        store.put(key, data, if_absent=True)
    # Only what the store itself says it holds is a reason to remove anything.
    info = next(store.scan(key), None)
    if info is None:
        raise StoreError(f"{key} was refused by the store and is not there: compact again")
    file = open_merged(store, info)
    removed = _remove_replaced(store, file, {info.key for info in pile.infos})
    return Compacted(files=1, segments=len(pile.infos), rows=pile.rows, removed=removed)


def _remove_replaced(store: Store, file: MergedFile, standing: Container[str]) -> int:
    """Remove those of the standing objects whose rows a merged file holds."""
    replaced = [key for key, _, _ in file.members() if key in standing]
    for key in replaced:
        store.delete(key)
    return len(replaced)
