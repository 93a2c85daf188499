"""Write a log as the server does, without the server."""

import io
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ulid import ULID

from perennial.datasets.log import FEEDBACK_SCHEMA, prediction_schema
from perennial.errors import Conflict
from perennial.packaging.signature import Feature, Signature
from perennial.store import layout

SIGNATURE = Signature(
    task="regression",
    target="y",
    features=(Feature(name="x", kind="numeric"), Feature(name="c", kind="categorical")),
    context=("ts",),
)
WIDE = SIGNATURE.model_copy(
    update={"features": (*SIGNATURE.features, Feature(name="z", kind="numeric"))}
)
START = datetime(2030, 1, 1, tzinfo=UTC)


class Nowhere:
    """A store that is away."""

    def put(self, key, data, *, if_absent):
        pass


class LogWriter:
    """Writes segments of rows that are numbered through: id ``r5`` has x 5, c "c5", output 50."""

    def __init__(self, store, pipeline="p"):
        self.store, self.pipeline = store, pipeline
        self.rows = 0
        self.keys = 0
        self.written = {}

    def predictions(
        self, rows, *, role="champion", version="0001", signature=SIGNATURE, times=None
    ):
        numbers = range(self.rows, self.rows + rows)
        sent = {n: str(START + timedelta(hours=n))[:19] for n in numbers} | (times or {})
        self.rows += rows
        table = pa.table(
            {
                "id": [f"r{n}" for n in numbers],
                "time": [START + timedelta(minutes=n) for n in numbers],
                "pipeline": [self.pipeline] * rows,
                "version": [version] * rows,
                "role": [role] * rows,
                "latency": pa.array([1] * rows, pa.int32()),
                "features": [{"x": float(n), "c": f"c{n}", "ts": sent[n]} for n in numbers],
                "output": [[10.0 * n] for n in numbers],
                "key": [None] * rows,
                "weight": [0.0] * rows,
            },
            schema=prediction_schema(signature),
        )
        self._put(layout.prediction_log(self.pipeline), table)

    def late(self, rows, **more):
        """Name a segment now; it comes into the store when what is returned is called."""
        store, self.store = self.store, Nowhere()
        self.predictions(rows, **more)
        self.store = store
        key = list(self.written)[-1]
        return lambda: self.repeat(key)

    def feedback(self, labels, at=START):
        table = pa.table(
            {
                "id": list(labels),
                "time": [at] * len(labels),
                "label": [json.dumps(v) for v in labels.values()],
            },
            schema=FEEDBACK_SCHEMA,
        )
        self._put(layout.feedback_log(self.pipeline), table)

    def repeat(self, key):
        """Put a segment again, as a server does whose first put was not answered."""
        with suppress(Conflict):
            self.store.put(key, self.written[key], if_absent=True)

    def _put(self, prefix, table):
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        self.keys += 1
        ulid = str(ULID.from_timestamp(START.timestamp() + self.keys))
        key = layout.log_segment(prefix, ulid, table.num_rows)
        self.written[key] = buffer.getvalue()
        self.repeat(key)


@pytest.fixture
def log(store):
    return LogWriter(store)
