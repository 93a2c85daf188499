"""Segments that come into the store behind the monitor's cursor: their server's store was away."""

from __future__ import annotations

from datetime import timedelta

import pytest

from perennial.datasets.compaction import Target, compact
from perennial.datasets.log_reader import SegmentReader
from perennial.datasets.stream import Cursor, cut_windows, read_span
from perennial.store import layout
from tests.datasets.memory_store import MemoryStore
from tests.datasets.test_stream import history, ids, numbered, spec_of


@pytest.fixture
def store():
    return MemoryStore()


def walk(store, spec, cursor, windows):
    """Cut what can be cut, note it, and give the cursor behind it."""
    for window in cut_windows(SegmentReader(store), spec, history(5), cursor):
        again = read_span(SegmentReader(store), spec, history(5), window.start, window.end)
        assert list(again["x"]) == list(window.frame["x"])
        windows.append(window)
        cursor = window.end
    return Cursor.model_validate_json(cursor.model_dump_json())


@pytest.fixture
def spread(monkeypatch, store):
    """Half a minute between any two puts, as the slack of arrivals is a minute."""
    put = store.put

    def slow_put(*arguments, **more):
        store.now += timedelta(seconds=29)
        return put(*arguments, **more)

    monkeypatch.setattr(store, "put", slow_put)


@pytest.mark.parametrize("size", [20, 23, 30, 45])
@pytest.mark.parametrize("merged", [False, True])
def test_segments_that_come_late_are_judged_once(store, log, spread, size, merged):
    windows, spec = [], spec_of(size)
    log.predictions(60)
    first, second = log.late(45), log.late(18)
    log.predictions(60)
    cursor = walk(store, spec, Cursor(source_rows=5), windows)
    assert not {"r60", "r105"} & {name for window in windows for name in ids(window)}
    for event in (second, lambda: log.predictions(27), first, lambda: log.predictions(150)):
        event()
        if merged:
            merge_all(store)
        cursor = walk(store, spec, cursor, windows)
    log.predictions(size)
    walk(store, spec, cursor, windows)
    seen = [name for window in windows for name in ids(window)]
    assert len(seen) == len(set(seen))
    assert set(numbered(0, 60 + 63 + 60 + 27 + 150)) <= set(seen)
    for window in windows:
        again = read_span(SegmentReader(store), spec, history(5), window.start, window.end)
        assert list(again["_id"]) == ids(window)


def merge_all(store):
    prefix = layout.prediction_log("p")
    for _ in compact(store, prefix, Target(fewest=2), before=store.now + timedelta(days=1)):
        pass


def test_what_is_remembered_of_the_past_is_bounded(store, log, spread):
    spec, windows = spec_of(20), []
    for _ in range(30):
        log.predictions(20)
    cursor = walk(store, spec, Cursor(source_rows=5), windows)
    assert len(windows) == 30
    assert len(cursor.recent) <= 3


def test_a_segment_that_comes_after_days_is_not_judged(store, log, monkeypatch):
    late = log.late(10)
    log.keys += 100_000  # seconds
    log.predictions(20)
    (window,) = cut_windows(SegmentReader(store), spec_of(20), history(5), Cursor(source_rows=5))
    late()
    log.predictions(20)
    (window,) = cut_windows(SegmentReader(store), spec_of(20), history(5), window.end)
    assert ids(window) == numbered(30, 50)
