"""Segments as Parquet: column by column the same rows as one by one."""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.datasets.log import FEEDBACK_SCHEMA, prediction_schema
from perennial.packaging.signature import Feature, Signature
from perennial.serving.log import Log
from perennial.serving.parquet import to_parquet
from perennial.serving.segment import FeedbackRecord, PredictionRecord, read_segment, row_ids

NUMBER, TEXT = "numeric", "categorical"


def signature(kinds: str, context: int, classes: int) -> Signature:
    """One feature a letter of ``kinds``: n is a number, c a category."""
    return Signature(
        task="multiclass" if classes else "regression",
        target="y",
        features=tuple(
            Feature(name=f"f{i}", kind=NUMBER if kind == "n" else TEXT)
            for i, kind in enumerate(kinds)
        ),
        context=tuple(f"c{i}" for i in range(context)),
        classes=tuple("abc"[:classes]),
    )


SIGNATURES = [
    signature("nn", 0, 0),
    signature("cnc", 2, 0),
    signature("c", 0, 3),
    signature("n", 1, 2),
]
texts = st.sampled_from(["", "a", "ä#0", "\U0001f600" * 9, "x" * 300])


@st.composite
def records(draw: st.DrawFn, of: Signature) -> PredictionRecord:
    """Rows of one request or of a batch of them, as any of the routes logs them."""
    rows = draw(st.sampled_from([1, 2, 3, 1030]))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    single = draw(st.booleans())
    numbers = random.normal(size=(rows, len(of.numeric)))
    numbers[random.random(numbers.shape) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    pool, has_context = draw(st.lists(texts, min_size=1)), draw(st.booleans())
    routed, one_key, one_latency = (draw(st.booleans()) for _ in range(3))
    keys = [int(key) for key in random.integers(0, 1 << 64, rows, dtype=np.uint64)]
    latencies = [int(value) for value in random.integers(0, 1 << 31, rows)]
    named = draw(st.lists(texts, min_size=1))
    names = [f"{named[row % len(named)]}{row}" for row in range(rows)]
    return PredictionRecord(
        time=draw(st.integers(0, 1 << 52)),
        version=draw(st.sampled_from(["0001-a", "0002-b"])),
        role=draw(st.sampled_from(["champion", "challenger", "shadow"])),
        latency=latencies[0] if one_latency else latencies,
        rows=rows,
        ids=names[:1] if draw(st.booleans()) else names,
        numeric=numbers.astype(np.float32 if single else np.float64).data,
        categorical=random.choice(pool, (rows, len(of.categorical))).tolist()
        if of.categorical
        else None,
        context=[[draw(st.none() | texts) for _ in of.context]] * rows
        if of.context and has_context
        else None,
        output=random.normal(size=(rows, of.width)).astype(np.float32).data,
        single=single,
        key=(keys[0] if one_key else keys) if routed else 0,
        weight=0.25 if routed else 0.0,
    )


def row_by_row(pipeline: str, of: Signature, record: PredictionRecord) -> list[dict[str, Any]]:
    """The rows of a record, each made by itself out of what the record holds."""
    ids = row_ids(record.ids, record.rows)
    kind = "f" if record.single else "d"
    numbers = struct.iter_unpack(f"<{len(of.numeric) or 1}{kind}", record.numeric)
    outputs = struct.iter_unpack(f"<{of.width}f", record.output)
    found = []
    for row in range(record.rows):
        values = next(numbers) if of.numeric else ()
        features: dict[str, Any] = {
            name: None if math.isnan(value) else value
            for name, value in zip(of.numeric, values, strict=True)
        }
        for index, name in enumerate(of.categorical):
            assert record.categorical is not None
            features[name] = record.categorical[row][index] or None
        for index, name in enumerate(of.context):
            features[name] = None if record.context is None else record.context[row][index]
        key = record.key if isinstance(record.key, int) else record.key[row]
        latency = record.latency if isinstance(record.latency, int) else record.latency[row]
        found.append(
            {
                "id": ids[row],
                "time": record.time,
                "pipeline": pipeline,
                "version": record.version,
                "role": record.role,
                "latency": latency,
                "features": features,
                "output": list(next(outputs)),
                "key": (key - (1 << 64) if key >= 1 << 63 else key) if record.weight else None,
                "weight": record.weight,
            }
        )
    return found


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_columns_hold_the_rows_that_were_logged(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    of = data.draw(st.sampled_from(SIGNATURES))
    logged = data.draw(st.lists(records(of), min_size=1, max_size=6))
    written = pq.read_table(io.BytesIO(to_parquet_of(tmp_path_factory.mktemp("log"), of, logged)))
    schema = prediction_schema(of)
    assert written.schema.metadata == schema.metadata
    rows = [row for record in logged for row in row_by_row("p", of, record)]
    wanted = pa.Table.from_pylist(rows, schema=schema)
    assert written.cast(schema).equals(wanted)


def to_parquet_of(folder: Path, of: Signature, logged: list[PredictionRecord]) -> bytes:
    log = Log(folder, "w", segment_size=1 << 30, segment_age=1.0, bound=1 << 30)
    for record in logged:
        log.predictions("p", of.model_dump_json(), record)
    log.close()
    [path] = folder.glob("p/predictions/*")
    segment = read_segment(path)
    assert segment is not None
    return to_parquet(segment)


def test_feedback_keeps_its_order(tmp_path: Path) -> None:
    log = Log(tmp_path, "w", segment_size=1 << 30, segment_age=1.0, bound=1 << 30)
    log.feedback("p", [FeedbackRecord(i, f"r{i}", str(i / 2)) for i in (2, 1, 2)])
    log.close()
    [path] = tmp_path.glob("p/feedback/*")
    segment = read_segment(path)
    assert segment is not None
    table = pq.read_table(io.BytesIO(to_parquet(segment)))
    assert table.schema.equals(FEEDBACK_SCHEMA, check_metadata=True)
    assert table["label"].to_pylist() == ["1.0", "0.5", "1.0"]
