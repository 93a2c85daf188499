"""The record of a pipeline, decided again: here its store is memory, and its stream the source."""

from __future__ import annotations

import json

import pytest

from perennial.backtest.memory import MemorySnapshots
from perennial.loop.inspection import Expectations
from perennial.loop.log_stream import LogStream, reader_from
from perennial.loop.monitor import PipelineMonitor
from perennial.loop.replay import replay
from perennial.registry import Declaration
from perennial.store import layout
from perennial.store.memory import MemoryStore
from perennial.validation.suites import need_suite
from tests.loop.making import Pipeline, joined, spec, stream

FRAME = joined(stream(300), stream(120, seed=1), stream(280, slope=-3.0, seed=2))


def nobody(bucket: str, key: str) -> bytes:
    raise AssertionError(f"{bucket}/{key} is asked for")


def look(pipeline, rows):
    """Look at the windows among the first rows of the source."""
    reader = reader_from(pipeline.store, "p", None)
    rules = Expectations(need_suite(pipeline.store, pipeline.declaration))
    seen = LogStream(reader, pipeline.spec, FRAME.iloc[:rows])
    for check in PipelineMonitor(
        pipeline.store, pipeline.spec, seen, pipeline.champion, rules
    ).checks():
        pipeline.store.put_json(layout.check("p", check.window), check)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A pipeline whose world turns, with a new model in between; and where its source lies."""
    home = tmp_path_factory.mktemp("p")
    FRAME.to_parquet(home / "p.parquet", index=False)
    store = MemoryStore()
    declared = spec(source={"uri": "p.parquet"})
    pipeline = Pipeline(declared, store, MemorySnapshots(store, "p"))
    pipeline.renew(FRAME.iloc[:300])
    for rows in (380, 420, 540):
        look(pipeline, rows)
    pipeline.renew(FRAME.iloc[:540])
    look(pipeline, 700)
    return store, Declaration(spec=declared, folder=str(home))


@pytest.fixture
def record(recorded):
    """The same, each time anew."""
    store, declaration = MemoryStore(), recorded[1]
    for info in recorded[0].scan(""):
        store.put(info.key, recorded[0].get(info.key).data)
    return store, declaration


def again(record, **since):
    return list(replay(*record, fetch=nobody, **since))


def test_every_decision_comes_out_the_same_and_nothing_is_written(record):
    before = [(info.key, info.etag) for info in record[0].scan("")]
    found = again(record)
    assert len(found) == 10
    assert [str(w.differences) for w in found if not w.same] == []
    assert [(info.key, info.etag) for info in record[0].scan("")] == before


def test_a_part_is_decided_by_itself(record):
    found = again(record)
    later = again(record, since=found[3].at)
    assert [window.window for window in later] == [f"w{n:06d}" for n in range(7, 11)]
    assert all(window.same for window in later)


def test_what_was_altered_is_told(record):
    store, _ = record
    key = layout.check("p", "w000005")
    check = json.loads(store.get(key).data)
    check["decision"]["reason"] = "because"
    check["rows"] = 41
    store.put(key, json.dumps(check).encode())
    ((name, told),) = [(w.window, w.differences) for w in again(record) if not w.same]
    assert name == "w000005"
    assert {one.field for one in told} == {"decision.reason", "rows"}
    assert "rows: 41 recorded, 40 again" in [str(one) for one in told]


def test_what_is_lost_is_told(record):
    store, _ = record
    check = json.loads(store.get(layout.check("p", "w000004")).data)
    store.delete(layout.version_file("p", check["champion"], "model.onnx"))
    lost = {window.window: window.lost is not None for window in again(record)}
    assert lost["w000004"]
    assert not lost["w000010"]
