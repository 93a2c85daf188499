"""What a reader of the log keeps."""

from __future__ import annotations

from perennial.datasets.log_reader import SegmentReader, list_segments
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
    return store, list_segments(store, layout.prediction_log("p"))


def test_a_segment_is_fetched_once():
    store, segments = written(3)
    reader = SegmentReader(store)
    tables = [[reader.read(segment) for segment in segments] for _ in range(2)]
    assert tables[0] == tables[1]
    assert store.fetched == [segment.key for segment in segments]


def test_the_oldest_are_let_go_where_they_are_many(monkeypatch):
    store, segments = written(3)
    size = SegmentReader(store).read(segments[0]).nbytes
    monkeypatch.setattr(SegmentReader, "_KEPT_BYTES", 2 * size + 1)
    reader, keys = SegmentReader(store), [segment.key for segment in segments]
    store.fetched.clear()
    for number in (0, 1, 0, 2, 0, 1):
        reader.read(segments[number])
    assert store.fetched == [keys[0], keys[1], keys[2], keys[1]]
