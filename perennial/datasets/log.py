"""The log in the store: what was asked, what was answered, and what was true.

Segments are Parquet files under ``log/predictions/`` and ``log/feedback/``; their names are ULIDs
given right before the upload, so key order is the order of arrival in the store but for a segment
whose server lost the store in that moment: it comes late, under its old key, and
`perennial.datasets.stream` looks for such ones. One id may stand in the log twice (a client that
lost the answer asks again; a label is corrected): `read_predictions` keeps the first answer,
`read_feedback` the latest label.

A segment is a place in the log, not an object: its key is its name for ever, its rows may move.
`perennial.datasets.compaction` merges small segments into files of sensible size
(`perennial.datasets.merged`):

1. The merged file is put, once, under a key that sorts right behind those of its segments. From
   that put on, and by nothing else, the segments named in its metadata lie there.
2. Then the objects that it replaces are removed.

`list_segments` gives the same segments, with the same keys and rows, before, between and after:
one that a merged file names is taken from there, whether or not its object still stands. So a
cursor that names a segment and an offset stays good, and compaction need not know of any. A
listing that started before step 1 and ended after step 2 has passed the objects, or comes to the
merged file behind them, since a store lists keys in their order; a segment that is gone when it is
to be read is looked for in the merged files. A process that dies after step 1 leaves objects that
nobody reads and the next compaction removes; a server that repeats the put of a removed segment
makes just such an object. Two compactions at once may merge a segment twice; it is read once.

A reader that is not ours must go by the merged files' metadata, or wait until step 2 is done.
"""

from __future__ import annotations

import pyarrow as pa

from perennial.packaging.signature import Signature, TimeField

FORMAT = b"1"
"""Of both logs' segments."""
FORMAT_KEY = b"perennial.log.format"
_TIME_KEY = b"perennial.log.time"

FEEDBACK_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        # A JSON scalar: 12.5, "UP", true.
        pa.field("label", pa.string(), nullable=False),
    ],
    metadata={FORMAT_KEY: FORMAT},
)


def prediction_schema(signature: Signature) -> pa.Schema:
    """Columns of a segment of the prediction log.

    ``features`` holds what was sent, before any preprocessing: numeric features as float64,
    categorical ones and context fields as strings, a missing value as null. ``output`` is the
    graph's output row. ``latency`` is in microseconds, from the request's last byte to the answer.
    ``weight`` is the challenger's share by which the request was routed, 0 where nobody had to
    choose; ``key`` is then the hash of the routing key, salted with the challenger's version. The
    metadata say how the time among the context fields is written, where there is one.
    """
    fields = [
        pa.field(f.name, pa.float64() if f.kind == "numeric" else pa.string())
        for f in signature.features
    ] + [pa.field(name, pa.string()) for name in signature.context]
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
            pa.field("pipeline", pa.string(), nullable=False),
            pa.field("version", pa.string(), nullable=False),
            pa.field("role", pa.string(), nullable=False),
            pa.field("latency", pa.int32(), nullable=False),
            pa.field("features", pa.struct(fields)),
            pa.field("output", pa.list_(pa.float32())),
            pa.field("key", pa.int64()),
            pa.field("weight", pa.float64()),
        ],
        metadata={FORMAT_KEY: FORMAT, **_time_metadata(signature.time)},
    )


def _time_metadata(time: TimeField | None) -> dict[bytes, bytes]:
    return {} if time is None else {_TIME_KEY: time.model_dump_json().encode()}


def time_of(schema: pa.Schema, declared: TimeField | None) -> TimeField | None:
    """How the rows of a segment tell their time: as it was when they were served, or else as it is
    declared now."""
    written = (schema.metadata or {}).get(_TIME_KEY)
    if declared is None or written is None:
        return declared
    told = TimeField.model_validate_json(written)
    return told if told.name == declared.name else declared


ANSWERING_ROLES = ("champion", "challenger")
