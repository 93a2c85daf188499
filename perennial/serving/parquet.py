"""A segment as the Parquet file that `perennial.datasets.log` describes, built column by column.

Numbers go from the segment's bytes into a column's buffer without an object for each.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from perennial.datasets.log import FEEDBACK_SCHEMA, prediction_schema
from perennial.packaging.signature import Signature
from perennial.serving.segment import FeedbackRecord, PredictionRecord, Segment

_BLOCK = 1024
"""Rows that are turned into columns at a time: as many as a processor's cache holds."""
_SOUGHT = ["id", "time", "version", "role"]
"""Columns by whose smallest and largest value a reader may pass over a file."""


def to_parquet(segment: Segment) -> bytes:
    """Write a segment with all of its rows, in their order."""
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
        write_statistics=[name for name in _SOUGHT if name in table.column_names],
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
    counts = np.array([record.rows for record in records], dtype=np.int64)
    owner = pa.array(np.repeat(np.arange(len(records)), counts))
    weights = np.repeat(np.array([record.weight for record in records]), counts)
    keys = _per_row([record.key for record in records], counts, np.uint64)
    latencies = _per_row([record.latency for record in records], counts, np.int32)
    columns = {
        "id": _ids(records, counts),
        "time": pa.array([r.time for r in records], schema.field("time").type).take(owner),
        "pipeline": pa.repeat(pa.scalar(pipeline, pa.string()), len(owner)),
        "version": pa.array([r.version for r in records], pa.string()).take(owner),
        "role": pa.array([r.role for r in records], pa.string()).take(owner),
        "latency": pa.array(latencies),
        "features": _features(schema.field("features").type, signature, records, counts),
        "output": _outputs(schema.field("output").type, signature, records),
        # As Parquet's common readers take 64 bits; null where nobody had to choose.
        "key": pa.array(keys.view(np.int64), mask=weights == 0),
        "weight": pa.array(weights),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _per_row(
    values: list[int | list[int]], counts: NDArray[np.int64], kind: type[np.integer[Any]]
) -> NDArray[Any]:
    """Spread what records say of all of their rows, or of each."""
    shared = np.array([isinstance(value, int) for value in values], dtype=bool)
    common = np.array([value for value in values if isinstance(value, int)], dtype=kind)
    single = [value for value in values if isinstance(value, list)]
    found = np.empty(counts.sum(), dtype=kind)
    of_all = np.repeat(shared, counts)
    found[of_all] = np.repeat(common, counts[shared])
    found[~of_all] = np.fromiter(itertools.chain.from_iterable(single), dtype=kind)
    return found


def _ids(records: list[PredictionRecord], counts: NDArray[np.int64]) -> pa.Array:
    """Name all rows, as `row_ids` names those of one record."""
    shared = np.array([len(r.ids) != r.rows for r in records], dtype=bool)
    own = pa.array([i for r in records if len(r.ids) == r.rows for i in r.ids], pa.string())
    if not shared.any():
        return own
    sizes = counts[shared]
    names = pa.array([r.ids[0] for r in records if len(r.ids) != r.rows], pa.string())
    places = np.concatenate([np.arange(size) for size in sizes])
    numbers = pa.array(np.arange(sizes.max())).cast(pa.string())
    made = pc.binary_join_element_wise(
        names.take(pa.array(np.repeat(np.arange(len(sizes)), sizes))),
        numbers.take(pa.array(places)),
        "#",
    )
    if len(own) == 0:
        return made
    of_all = np.repeat(shared, counts)
    order = np.where(of_all, len(own) + np.cumsum(of_all) - 1, np.cumsum(~of_all) - 1)
    return pa.concat_arrays([own, made]).take(pa.array(order))


def _features(
    kind: pa.DataType,
    signature: Signature,
    records: list[PredictionRecord],
    counts: NDArray[np.int64],
) -> pa.Array:
    columns = dict(zip(signature.numeric, _numbers(records, signature, counts), strict=True))
    categorical = _texts([r.categorical for r in records], counts, len(signature.categorical))
    for name, column in zip(signature.categorical, categorical, strict=True):
        columns[name] = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    context = _texts([r.context for r in records], counts, len(signature.context))
    columns |= zip(signature.context, context, strict=True)
    return pa.StructArray.from_arrays([columns[field.name] for field in kind], fields=list(kind))


def _numbers(
    records: list[PredictionRecord], signature: Signature, counts: NDArray[np.int64]
) -> list[pa.Array]:
    """Give the numeric features, null for a missing value."""
    width = len(signature.numeric)
    if width == 0:
        return []
    columns = np.empty((width, counts.sum()))
    at = 0
    for single, group in itertools.groupby(records, key=lambda record: record.single):
        data = b"".join(record.numeric for record in group)
        rows = np.frombuffer(data, np.float32 if single else np.float64).reshape(-1, width)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            columns[:, at : at + len(block)] = block.T
            at += len(block)
    missing = np.isnan(columns)
    return [
        pa.array(column, mask=absent if absent.any() else None)
        for column, absent in zip(columns, missing, strict=True)
    ]


def _texts(
    parts: Sequence[Sequence[Sequence[str | None]] | None],
    counts: NDArray[np.int64],
    width: int,
) -> list[pa.Array]:
    """Give the columns of texts that stand in records row by row, null where a record has none."""
    if width == 0:
        return []
    nothing = [[None] * width]
    rows = itertools.chain.from_iterable(
        nothing * count if part is None else part
        for part, count in zip(parts, counts.tolist(), strict=True)
    )
    flat = pa.array(list(rows), pa.list_(pa.string())).flatten()
    return [flat.take(pa.array(np.arange(i, len(flat), width))) for i in range(width)]


def _outputs(kind: pa.DataType, signature: Signature, records: list[PredictionRecord]) -> pa.Array:
    values = np.frombuffer(b"".join(record.output for record in records), dtype=np.float32)
    offsets = np.arange(0, len(values) + 1, signature.width, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), type=kind)
