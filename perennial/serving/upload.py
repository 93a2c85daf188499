"""From closed segments on the local disk to Parquet files in the store, each exactly once.

The key of a segment is fixed by renaming the local file to it before anything is sent, and the put
is conditional on the key being free. So a process that is killed between the put and the removal
of the file repeats the put under the same key, is told that it stands, and removes the file.

Segments go up one at a time, in the order of their keys.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from ulid import ULID

from perennial.datasets.log import FEEDBACK_SCHEMA, prediction_schema
from perennial.errors import Conflict
from perennial.packaging.signature import Signature
from perennial.serving.liveness import is_alive
from perennial.serving.segment import (
    BROKEN,
    CLOSED,
    OPEN,
    SEALED,
    FeedbackRecord,
    PredictionRecord,
    Segment,
    read_segment,
    row_ids,
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


def to_parquet(segment: Segment) -> bytes:
    """Write a segment as the Parquet file that `perennial.datasets.log` describes."""
    repeated: list[str] = []
    numbers: list[str] = []
    if segment.head.signature is None:
        table = _feedback_table(segment.feedback)
    else:
        signature = Signature.model_validate_json(segment.head.signature)
        table = _prediction_table(segment.head.pipeline, signature, segment.predictions)
        repeated = ["pipeline", "version", "role"]
        repeated += [f"features.{name}" for name in signature.categorical]
        numbers = [f"features.{name}" for name in signature.numeric]
    sink = pa.BufferOutputStream()
    # Numbers seldom repeat: split by bytes they take half the space and a quarter of the time that
    # a dictionary does.
    pq.write_table(
        table,
        sink,
        compression="zstd",
        use_dictionary=repeated,
        use_byte_stream_split=numbers,
    )
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _feedback_table(records: list[FeedbackRecord]) -> pa.Table:
    columns = [
        pa.array([getattr(record, field.name) for record in records], field.type)
        for field in FEEDBACK_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=FEEDBACK_SCHEMA)


def _prediction_table(
    pipeline: str, signature: Signature, records: list[PredictionRecord]
) -> pa.Table:
    schema = prediction_schema(signature)
    counts = [record.rows for record in records]

    def each_row(value: Callable[[PredictionRecord], Any], kind: pa.DataType) -> pa.Array:
        per_record = pa.array([value(record) for record in records], kind)
        return per_record.take(pa.array(np.repeat(np.arange(len(records)), counts)))

    columns = {
        "id": pa.array([i for r in records for i in row_ids(r.ids, r.rows)], pa.string()),
        "time": each_row(lambda r: r.time, schema.field("time").type),
        "pipeline": each_row(lambda _: pipeline, pa.string()),
        "version": each_row(lambda r: r.version, pa.string()),
        "role": each_row(lambda r: r.role, pa.string()),
        "latency": pa.array([v for r in records for v in _latencies(r)], pa.int32()),
        "features": _features(schema.field("features").type, signature, records),
        "output": _outputs(schema.field("output").type, signature, records),
        "key": pa.array([key for r in records for key in _keys(r)], pa.int64()),
        "weight": each_row(lambda r: r.weight, pa.float64()),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _latencies(record: PredictionRecord) -> list[int]:
    return record.latency if isinstance(record.latency, list) else [record.latency] * record.rows


def _keys(record: PredictionRecord) -> list[int | None]:
    """Hashes of routing keys as Parquet's common readers take them, null where none was made."""
    if record.weight == 0:
        return [None] * record.rows
    keys = record.key if isinstance(record.key, list) else [record.key] * record.rows
    return [key - (1 << 64) if key >= 1 << 63 else key for key in keys]


def _features(kind: pa.DataType, signature: Signature, records: list[PredictionRecord]) -> pa.Array:
    numbers = _numbers(records, len(signature.numeric))
    texts = _text_columns(signature, records)
    arrays = []
    for field in kind:
        if field.name in texts:
            arrays.append(pa.array(texts[field.name], pa.string()))
        else:
            values = numbers[:, signature.numeric.index(field.name)]
            arrays.append(pa.array(values, pa.float64(), mask=np.isnan(values)))
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _numbers(records: list[PredictionRecord], width: int) -> NDArray[np.float64]:
    """Give the numeric features of all rows; neighbours of one precision are read together."""
    parts = [
        np.frombuffer(b"".join(r.numeric for r in group), np.float32 if single else np.float64)
        for single, group in itertools.groupby(records, key=lambda r: r.single)
    ]
    rows = sum(record.rows for record in records)
    return np.concatenate(parts, dtype=np.float64).reshape(rows, width)


def _text_columns(
    signature: Signature, records: list[PredictionRecord]
) -> dict[str, list[str | None]]:
    """Give categorical features and context fields by name, null for a missing value."""
    no_context: list[str | None] = [None] * len(signature.context)
    categorical: list[list[str]] = []
    context: list[list[str | None]] = []
    for record in records:
        categorical.extend(record.categorical or [[]] * record.rows)
        context.extend(record.context or [no_context] * record.rows)
    columns: dict[str, list[str | None]] = {
        name: [row[index] or None for row in categorical]
        for index, name in enumerate(signature.categorical)
    }
    for index, name in enumerate(signature.context):
        columns[name] = [row[index] for row in context]
    return columns


def _outputs(kind: pa.DataType, signature: Signature, records: list[PredictionRecord]) -> pa.Array:
    values = np.frombuffer(b"".join(r.output for r in records), dtype=np.float32)
    offsets = np.arange(0, len(values) + 1, signature.width, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), type=kind)
