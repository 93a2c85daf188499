"""The log in the store: what was asked, what was answered, and what was true.

Segments are Parquet files under ``log/predictions/`` and ``log/feedback/``; their names are ULIDs
given at upload, so key order is the order of arrival in the store and a reader that remembers the
last key it saw misses nothing. One id may stand in the log twice (a client that lost the answer
asks again; a label is corrected): `read_predictions` keeps the first answer, `read_feedback` the
latest label.
"""

from __future__ import annotations

import pyarrow as pa

from perennial.packaging.signature import Signature

FORMAT = b"1"
_FORMAT_KEY = b"perennial.log.format"

FEEDBACK_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        # A JSON scalar: 12.5, "UP", true.
        pa.field("label", pa.string(), nullable=False),
    ],
    metadata={_FORMAT_KEY: FORMAT},
)


def prediction_schema(signature: Signature) -> pa.Schema:
    """Columns of a segment of the prediction log.

    ``features`` holds what was sent, before any preprocessing: numeric features as float64,
    categorical ones and context fields as strings, a missing value as null. ``output`` is the
    graph's output row. ``latency`` is in microseconds, from the request's last byte to the answer.
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
        ],
        metadata={_FORMAT_KEY: FORMAT},
    )


ANSWERING_ROLES = ("champion", "challenger")
