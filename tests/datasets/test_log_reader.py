"""What a reader of the log keeps."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest

from perennial.datasets.log_reader import SegmentReader, list_segments
from perennial.errors import StoreError
from perennial.store import layout
from tests.datasets.conftest import LogWriter
from tests.datasets.memory_store import MemoryStore


class Counting(MemoryStore):
    """Remembers what was fetched."""

    def __init__(self):
        super().__init__()
        self.fetched = []

    def get(self, key):
        self.fetched.append(key)
        return super().get(key)


def written(segments):
    store = Counting()
    log = LogWriter(store)
    for _ in range(segments):
        log.predictions(5)
    return store, log, list_segments(store, layout.prediction_log("p"))


def test_a_segment_is_fetched_once():
    store, _, segments = written(3)
    reader = SegmentReader(store)
    tables = [[reader.read(segment) for segment in segments] for _ in range(2)]
    assert tables[0] == tables[1]
    assert store.fetched == [segment.key for segment in segments]


@pytest.mark.parametrize("metadata", [None, {"perennial.log.format": "2"}])
def test_a_segment_of_another_format_is_refused_by_name(metadata):
    store, _, (segment,) = written(1)
    table = SegmentReader(store).read(segment).replace_schema_metadata(metadata)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    store.put(segment.key, buffer.getvalue())
    with pytest.raises(StoreError, match=f"{segment.key} is not of format 1: .* another release"):
        SegmentReader(store).read(segment)


def test_one_listing_serves_for_all_that_lies_behind_it():
    store, log, segments = written(4)
    reader, prefix = SegmentReader(store), layout.prediction_log("p")
    assert reader.segments(prefix, since=segments[1].key) == segments[1:]
    log.predictions(5)
    assert reader.segments(prefix, since=segments[2].key) == segments[2:]
    assert reader.segments(prefix, since=segments[0].key) == list_segments(store, prefix)
    assert reader.segments(prefix) == list_segments(store, prefix)


def test_the_oldest_are_let_go_where_they_are_many(monkeypatch):
    store, _, segments = written(3)
    sizes = [SegmentReader(store).read(segment).nbytes for segment in segments]
    monkeypatch.setattr(SegmentReader, "_KEPT_BYTES", 2 * max(sizes))
    reader, keys = SegmentReader(store), [segment.key for segment in segments]
    store.fetched.clear()
    for number in (0, 1, 0, 2, 0, 1):
        reader.read(segments[number])
    assert store.fetched == [keys[0], keys[1], keys[2], keys[1]]
