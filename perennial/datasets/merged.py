"""Many segments of a log in one Parquet file, each of them still to be had by its own key.

The file's metadata holds, under ``perennial.log.members``, the JSON list of its segments: the names
of their keys without prefix and suffix, ``<ulid>.<rows>``, in the order in which their rows stand
in the file; and under ``perennial.log.arrivals`` when each of them came into the store, in seconds
since the epoch by the store's clock. A file is written once and never again merged or removed, so
whoever has seen a segment in one may rely on it for ever.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from perennial.errors import StoreError
from perennial.store import ObjectFile, ObjectInfo, Store, layout

_MEMBERS_KEY = b"perennial.log.members"
_ARRIVALS_KEY = b"perennial.log.arrivals"
_SUFFIX = ".parquet"
ROW_GROUP = 32_768
"""Rows that a reader of one small segment decodes."""


@dataclass(frozen=True, eq=False)
class MergedFile:
    """A file of several segments, its footer read."""

    info: ObjectInfo
    metadata: Any
    """``pyarrow.parquet.FileMetaData``."""

    def members(self) -> Iterator[tuple[str, int, int]]:
        """Yield key, rows and first row of each segment in the file."""
        prefix = self.info.key.rsplit("/", 1)[0] + "/"
        start = 0
        for name in json.loads(self.metadata.metadata[_MEMBERS_KEY]):
            key = f"{prefix}{name}{_SUFFIX}"
            rows = layout.segment_rows(key)
            yield key, rows, start
            start += rows

    def arrivals(self) -> list[float]:
        """When each member came into the store, in the order of `members`."""
        found: list[float] = json.loads(self.metadata.metadata[_ARRIVALS_KEY])
        return found

    def groups(self, start: int, rows: int) -> Iterator[tuple[int, int, int]]:
        """Yield (row group, first row in it, rows of it) that make up a span of the file."""
        sizes = [self.metadata.row_group(i).num_rows for i in range(self.metadata.num_row_groups)]
        for number, (begin, size) in enumerate(
            zip(accumulate(sizes, initial=0), sizes, strict=False)
        ):
            low, high = max(start, begin), min(start + rows, begin + size)
            if low < high:
                yield number, low - begin, high - low

    def read_group(self, store: Store, number: int) -> pa.Table:
        """Read one row group, with the schema that its segments had."""
        file = pq.ParquetFile(_file(store, self.info), metadata=self.metadata, pre_buffer=True)
        return _without_members(file.read_row_group(number))

    def empty(self) -> pa.Table:
        """No rows, with the schema that its segments had."""
        return _without_members(self.metadata.schema.to_arrow_schema().empty_table())


def open_merged(store: Store, info: ObjectInfo) -> MergedFile:
    """Read the footer of a file that `layout.is_merged` tells.

    Raises:
        StoreError: it is damaged, or cannot be read.
    """
    try:
        metadata = pq.ParquetFile(_file(store, info)).metadata
    except pa.ArrowInvalid as error:
        raise StoreError(f"{info.key} is damaged: {error}") from None
    if not {_MEMBERS_KEY, _ARRIVALS_KEY} <= (metadata.metadata or {}).keys():
        raise StoreError(f"{info.key} does not say which segments it holds: it was altered")
    return MergedFile(info, metadata)


def _file(store: Store, info: ObjectInfo) -> ObjectFile:
    return ObjectFile(store, info.key, size=info.size, etag=info.etag)


def merge(
    prefix: str, infos: Sequence[ObjectInfo], tables: Sequence[pa.Table]
) -> tuple[str, bytes]:
    """Write segments of one schema into one file.

    Args:
        prefix: the log's.
        infos: of the segments, by ascending key.
        tables: their rows.

    Returns:
        The key for the file, and its bytes; the same segments give the same.
    """
    table = pa.concat_tables(tables)
    keys = [info.key for info in infos]
    names = [key.removeprefix(prefix).removesuffix(_SUFFIX) for key in keys]
    arrivals = [info.modified.timestamp() for info in infos]
    table = table.replace_schema_metadata(
        {
            **(table.schema.metadata or {}),
            _MEMBERS_KEY: json.dumps(names).encode(),
            _ARRIVALS_KEY: json.dumps(arrivals).encode(),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=ROW_GROUP, compression="zstd", **_encoding(table))
    first, last = layout.segment_ulid(keys[0]), layout.segment_ulid(keys[-1])
    return layout.merged_segments(prefix, first, last, table.num_rows), sink.getvalue()


def _encoding(table: pa.Table) -> dict[str, list[str]]:
    """How each column is written: text by a dictionary, but for the ids; numbers split by bytes."""
    columns = []
    for field in table.schema:
        if pa.types.is_struct(field.type):
            columns += [(f"{field.name}.{part.name}", part.type) for part in field.type]
        else:
            columns.append((field.name, field.type))
    return {
        "use_dictionary": [n for n, kind in columns if pa.types.is_string(kind) and n != "id"],
        "use_byte_stream_split": [n for n, kind in columns if pa.types.is_floating(kind)],
    }


def _without_members(table: pa.Table) -> pa.Table:
    """Drop what is said of the segments from a table's metadata."""
    ours = (_MEMBERS_KEY, _ARRIVALS_KEY)
    metadata = {k: v for k, v in (table.schema.metadata or {}).items() if k not in ours}
    return table.replace_schema_metadata(metadata or None)
