"""Hostile rows and labels among good ones: all good ones are used, all bad ones are set aside."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ulid import ULID

from perennial.datasets.labels import labelled_rows, labels_for
from perennial.datasets.log import FEEDBACK_SCHEMA, prediction_schema
from perennial.datasets.log_reader import SegmentReader
from perennial.datasets.served import RULE, add_faults, time_field, unusable
from perennial.datasets.stream import Cursor, cut_windows
from perennial.packaging.labels import LabelRule
from perennial.packaging.signature import Feature, Signature
from perennial.spec import parse_spec
from perennial.store import layout
from perennial.training.train import train
from perennial.validation.quarantine import ROW, Quarantine

SPEC = parse_spec(
    {
        "name": "p",
        "task": "binary",
        "source": {"uri": "a.csv"},
        "target": "y",
        "time": "at",
        "monitor": {"window": "2d"},
        "model": {"estimators": ["linear"]},
    },
    origin="test",
)
SIGNATURE = Signature(
    task="binary",
    target="y",
    features=(Feature(name="x", kind="numeric"), Feature(name="c", kind="categorical")),
    context=("at",),
    time=time_field(SPEC),
    classes=("0", "1"),
)
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)
BAD_TIMES = ["gestern", "2030-02-30", "99999999", "0001-01-01T00:00:00", "\x00", "NaT"]
BAD_LABELS = ['"n/a"', "2", "true", '""', "[1]", "{", "null"]
WINDOWS = 20
SEGMENT = 5_000


class Hostile:
    """A log of ``good`` rows and ``bad`` ones, a half by their time and a half by their label."""

    def __init__(self, good: int, bad: int) -> None:
        rng = np.random.default_rng(0)
        rows = good + bad
        self.fault = np.zeros(rows, dtype=int)
        self.fault[rng.choice(rows, bad, replace=False)] = 1 + np.arange(bad) % 2
        self.ids = [f"r{n}" for n in range(rows)]
        self.x = rng.normal(size=rows)
        self.y = (self.x + rng.normal(size=rows) > 0).astype(int)
        step = timedelta(days=2 * WINDOWS) / rows
        self.times = [(BEGIN + n * step).isoformat() for n in range(rows)]
        self.labels = [str(y) for y in self.y]
        for count, row in enumerate(np.flatnonzero(self.fault == 1)):
            self.times[row] = BAD_TIMES[count % len(BAD_TIMES)]
        for count, row in enumerate(np.flatnonzero(self.fault == 2)):
            self.labels[row] = BAD_LABELS[count % len(BAD_LABELS)]
        for row in np.flatnonzero(self.fault == 0)[:: rows // 50]:
            self.times[row] = "2200-01-01"  # a time, though one far ahead

    def named(self, fault: int) -> set[str]:
        return {self.ids[n] for n in np.flatnonzero(self.fault == fault)}

    def write(self, store) -> None:
        for low in range(0, len(self.ids), SEGMENT):
            part = slice(low, low + SEGMENT)
            count = len(self.ids[part])
            features = pa.StructArray.from_arrays(
                [pa.array(self.x[part]), pa.array(["a"] * count), pa.array(self.times[part])],
                fields=list(prediction_schema(SIGNATURE).field("features").type),
            )
            columns = {
                "id": self.ids[part],
                "time": [BEGIN + timedelta(days=400)] * count,
                "pipeline": ["p"] * count,
                "version": ["0001"] * count,
                "role": ["champion"] * count,
                "latency": pa.array([1] * count, pa.int32()),
                "features": features,
                "output": [[0.5]] * count,
                "key": [None] * count,
                "weight": [0.0] * count,
            }
            self._put(store, layout.prediction_log("p"), low, columns, prediction_schema(SIGNATURE))
            told = {
                "id": self.ids[part],
                "time": columns["time"],
                "label": self.labels[part],
            }
            self._put(store, layout.feedback_log("p"), low, told, FEEDBACK_SCHEMA)

    def _put(self, store, prefix, number, columns, schema) -> None:
        buffer = io.BytesIO()
        table = pa.table(columns, schema=schema)
        pq.write_table(table, buffer)
        ulid = str(ULID.from_datetime(BEGIN + timedelta(days=400, seconds=number)))
        store.put(layout.log_segment(prefix, ulid, table.num_rows), buffer.getvalue())


def history() -> pd.DataFrame:
    days = pd.date_range("2029-01-01", periods=100)
    return pd.DataFrame({"at": days, "x": 0.5, "c": "a", "y": [0, 1] * 50})


@pytest.mark.parametrize(
    ("good", "bad"), [(10_000, 100), pytest.param(100_000, 1_000, marks=pytest.mark.slow)]
)
def test_all_good_rows_are_used_and_all_bad_ones_are_in_quarantine(store, good, bad):
    log, source = Hostile(good, bad), history()
    log.write(store)
    quarantine, reader = Quarantine(store, "p"), SegmentReader(store)
    sizes, seen = [], 0
    for number, window in enumerate(
        cut_windows(SegmentReader(store), SPEC, source, Cursor(source_rows=100))
    ):
        frame = window.frame
        told = labels_for(reader, "p", frame, "y", LabelRule.of(SIGNATURE))
        frame = add_faults(frame, "y", told.faults)
        sizes.append(len(frame))
        seen += int((~unusable(frame)).sum())
        rows = frame[unusable(frame)]
        quarantine.put_unusable(f"w{number:06d}", rows, list(rows["_id"]), BEGIN)
    assert len(sizes) == WINDOWS - 1  # the last one waits for the rows behind it
    assert max(sizes) - min(sizes) < 20  # though one row in a hundred said another time
    assert seen >= good * (WINDOWS - 1) / WINDOWS - 20

    labelled = labelled_rows(store, SPEC, source)
    quarantine.put_unusable("snapshot", labelled.unusable, list(labelled.unusable.index), BEGIN)
    assert set(labelled.frame.index[100:]) == log.named(0)
    assert dict(labelled.unusable[RULE].value_counts()) == {
        "is_time(at)": bad // 2,
        "is_class(y)": bad // 2 - log.labels.count("{"),
        "is_json(y)": log.labels.count("{"),
    }
    aside = pd.concat([quarantine.rows(e.record.name) for e in quarantine.entries()])
    assert sorted(aside[ROW]) == sorted(log.named(1) | log.named(2))
    assert set(aside.loc[aside[RULE] == "is_time(at)", ROW]) == log.named(1)
    reasons = [r for e in quarantine.entries() for r in e.record.reasons]
    assert sum(int(re.search(r"\): (\d+), such as ", reason)[1]) for reason in reasons) == bad

    trained = train(labelled.frame, SPEC)
    assert trained.signature.classes == ("0", "1")
    assert trained.signature.time == time_field(SPEC)
    assert trained.rows == good + 100
