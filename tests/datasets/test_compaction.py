import io
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial.datasets.compaction import Compacted, Target, compact
from perennial.datasets.labels import labelled_rows, labels_for
from perennial.datasets.log_reader import SegmentReader, list_segments, read_feedback
from perennial.datasets.merged import ROW_GROUP, open_merged
from perennial.datasets.stream import Cursor, cut_windows, read_span
from perennial.errors import NotFound, StoreError
from perennial.packaging.labels import LabelRule
from perennial.store import layout
from tests.datasets.conftest import SIGNATURE, START, WIDE, LogWriter
from tests.datasets.memory_store import Killed, MemoryStore
from tests.datasets.test_stream import history, spec_of

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
EVER = datetime(2200, 1, 1, tzinfo=UTC)
PREDICTIONS, FEEDBACK = layout.prediction_log("p"), layout.feedback_log("p")
WINDOW = spec_of(20)


def run(store, prefix=PREDICTIONS, *, rows=20, fewest=2, before=EVER):
    return sum(compact(store, prefix, Target(rows, 1 << 30, fewest), before=before), Compacted())


def ids(store, prefix=PREDICTIONS):
    reader = SegmentReader(store)
    return [
        row
        for segment in list_segments(store, prefix)
        for row in reader.read(segment).column("id").to_pylist()
    ]


def keys(store, prefix=PREDICTIONS):
    return [info.key for info in store.scan(prefix)]


def numbered(rows):
    return [f"r{n}" for n in range(rows)]


class World:
    """Servers that upload, compactions that die, and a monitor that looks on."""

    def __init__(self):
        self.store = MemoryStore()
        self.log = LogWriter(self.store)
        self.cursor = Cursor()
        self.windows = []

    def do(self, action):
        kind, number = action
        if kind == "upload":
            signature = WIDE if number % 3 == 0 else SIGNATURE
            self.log.predictions(number, signature=signature)
        elif kind == "repeat" and self.log.written:
            written = sorted(self.log.written)
            self.log.repeat(written[number % len(written)])
        elif kind == "compact":
            self.compact(25 + 5 * number)
        elif kind == "read":
            self.read({})

    def compact(self, target, events=None):
        try:
            with self.store.meanwhile(events or {}):
                run(self.store, rows=target)
        except Killed:
            pass

    def read(self, events):
        before = self.log.rows
        with self.store.meanwhile(events):
            found = ids(self.store)
        assert found == numbered(len(found))
        assert before <= len(found) <= self.log.rows

    def look(self, events):
        """Cut what is new, then read every window that was ever cut again."""
        with self.store.meanwhile(events):
            for window in cut_windows(SegmentReader(self.store), WINDOW, history(0), self.cursor):
                self.windows.append(window)
                self.cursor = window.end
            for window in self.windows:
                again = read_span(
                    SegmentReader(self.store), WINDOW, history(0), window.start, window.end
                )
                # A window's frame also has the columns of rows that came with its last ones.
                known = window.frame[list(again.columns)]
                pd.testing.assert_frame_equal(again, known)
        cut = [row for window in self.windows for row in window.frame["_id"]]
        assert cut == numbered(len(cut))


def kill():
    raise Killed


numbers = st.integers(0, 12)
actions = st.tuples(st.sampled_from(["upload", "repeat", "compact", "read"]), numbers)
happening = st.dictionaries(
    st.integers(1, 40), st.lists(actions, min_size=1, max_size=2), max_size=4
)
scenes = st.one_of(
    st.tuples(st.just("do"), st.lists(actions, min_size=1, max_size=5)),
    st.tuples(st.just("compact"), numbers, happening, st.none() | st.integers(1, 60)),
    st.tuples(st.just("read"), happening),
    st.tuples(st.just("look"), happening),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), max_size=12), st.lists(scenes, max_size=8))
def test_whatever_happens_in_between_each_row_is_read_once_and_windows_stay(uploads, play):
    world = World()
    for rows in uploads:
        world.do(("upload", rows))
    for scene, *rest in play:
        if scene == "do":
            for action in rest[0]:
                world.do(action)
            continue
        events = {
            at: [lambda action=action: world.do(action) for action in happening]
            for at, happening in rest[-1 if scene != "compact" else 1].items()
        }
        if scene == "compact":
            if rest[2] is not None:
                events.setdefault(rest[2], []).append(kill)
            world.compact(25 + 5 * rest[0], events)
        elif scene == "read":
            world.read(events)
        else:
            world.look(events)
    world.read({})
    world.look({})
    run(world.store, rows=10)
    standing = [key for key in keys(world.store) if not layout.is_merged(key)]
    replaced = {s.key for s in list_segments(world.store, PREDICTIONS) if s.merged is not None}
    assert replaced.isdisjoint(standing)
    world.read({})
    world.look({})


def test_a_compaction_killed_at_any_request_loses_and_doubles_nothing():
    requests = 0
    finished = False
    while not finished:
        requests += 1
        world = World()
        for rows in (5, 5, 5, 5, 5, 5):
            world.do(("upload", rows))
        try:
            with world.store.meanwhile({requests: [kill]}):
                run(world.store, rows=15)
            finished = True
        except Killed:
            pass
        assert ids(world.store) == numbered(30)
        run(world.store, rows=15)
        assert ids(world.store) == numbered(30)
        assert all(layout.is_merged(key) for key in keys(world.store))
    assert requests > 20


def test_small_segments_become_one_file_and_windows_behind_them_stay(store, log):
    for rows in (15, 30, 8, 40):
        log.predictions(rows)
    source, spec = history(5), spec_of(20)
    before = list(cut_windows(SegmentReader(store), spec, source, Cursor(source_rows=3)))
    listed = [(s.key, s.rows) for s in list_segments(store, PREDICTIONS)]
    done = run(store, rows=1000)
    assert done == Compacted(files=1, segments=4, rows=93, removed=4)
    (key,) = keys(store)
    assert layout.is_merged(key)
    assert [(s.key, s.rows) for s in list_segments(store, PREDICTIONS)] == listed
    after = list(cut_windows(SegmentReader(store), spec, source, Cursor(source_rows=3)))
    for old, new in zip(before, after, strict=True):
        assert (old.start, old.end) == (new.start, new.end)
        pd.testing.assert_frame_equal(old.frame, new.frame)
        again = read_span(SegmentReader(store), spec, source, old.start, old.end)
        assert list(again["x"]) == list(old.frame["x"])


def test_a_cursor_inside_a_merged_segment_goes_on(store, log):
    log.predictions(50)
    log.predictions(3)
    source, spec = history(0), spec_of(20)
    first = next(cut_windows(SegmentReader(store), spec, source, Cursor()))
    run(store, rows=1000)
    log.predictions(10)
    later = list(cut_windows(SegmentReader(store), spec, source, first.end))
    assert [list(w.frame["_id"]) for w in later] == [numbered(60)[20:40], numbered(60)[40:60]]


def test_the_latest_label_wins_after_a_compaction_too(store, log):
    log.predictions(20)
    log.feedback({"r0": 1.5, "r1": 2.5})
    log.feedback({"r1": 3.5}, at=START + timedelta(hours=1))
    log.feedback({"r0": 1.5}, at=START + timedelta(hours=2))
    before = read_feedback(SegmentReader(store), "p").sort_index()
    assert run(store, FEEDBACK).segments == 3
    pd.testing.assert_series_equal(read_feedback(SegmentReader(store), "p").sort_index(), before)
    (window,) = cut_windows(SegmentReader(store), WINDOW, history(0), Cursor())
    labels = labels_for(
        SegmentReader(store), "p", window.frame, "y", LabelRule("regression")
    ).values
    assert list(labels[:3]) == [1.5, 3.5, None]
    assert list(labelled_rows(store, spec_of(20), history(2)).frame["y"]) == [0, 1, 1.5, 3.5]


def test_a_read_span_of_a_big_file_decodes_only_its_row_groups(store, log):
    for _ in range(4):
        log.predictions(ROW_GROUP // 2)
    assert run(store, rows=10 * ROW_GROUP, fewest=2).files == 1
    (info,) = store.scan(PREDICTIONS)
    assert open_merged(store, info).metadata.num_row_groups == 2
    last = list_segments(store, PREDICTIONS)[-1]
    asked = []
    get_range = store.get_range
    store.get_range = lambda key, start, length, **k: (
        asked.append(length),
        get_range(key, start, length, **k),
    )[1]
    assert SegmentReader(store).read(last).column("id")[0].as_py() == f"r{ROW_GROUP * 3 // 2}"
    assert sum(asked) < 0.6 * info.size


def test_segments_of_several_schemas_go_into_files_of_their_own(store, log):
    for number in range(6):
        log.predictions(4, signature=WIDE if number % 2 else SIGNATURE)
    assert run(store, rows=1000) == Compacted(files=2, segments=6, rows=24, removed=6)
    assert ids(store) == numbered(24)
    names = [
        SegmentReader(store).read(s).schema.field("features").type.names
        for s in list_segments(store, PREDICTIONS)
    ]
    assert ["z" in n for n in names] == [False, True] * 3


def test_young_big_and_few_segments_are_left_alone(store, log):
    log.predictions(4)
    log.predictions(4)
    assert run(store, before=LONG_AGO).files == 0
    assert run(store, fewest=3).files == 0
    log.predictions(30)
    assert run(store, rows=40).files == 1
    assert [layout.is_merged(key) for key in keys(store)] == [True, False]


def test_a_segment_put_again_after_its_removal_is_read_once_and_removed(store, log):
    for rows in (3, 4, 5):
        log.predictions(rows)
    run(store)
    log.repeat(min(log.written))
    assert ids(store) == numbered(12)
    assert run(store) == Compacted(removed=1)
    assert len(keys(store)) == 1


def test_a_segment_that_moves_between_listing_and_reading_is_found(store, log):
    for rows in (3, 4, 5):
        log.predictions(rows)
    listed = list_segments(store, PREDICTIONS)
    run(store)
    table = SegmentReader(store).read(listed[1])
    assert table.column("id").to_pylist() == numbered(7)[3:]
    store.delete(keys(store)[0])
    with pytest.raises(NotFound):
        SegmentReader(store).read(listed[1])


def test_a_segment_whose_rows_are_not_what_its_name_says_stops_the_compaction(store, log):
    log.predictions(3)
    log.predictions(4)
    first, second = sorted(log.written)
    store.put(first, log.written[second])
    with pytest.raises(StoreError, match="holds 4 rows: it was altered or damaged"):
        run(store)
    assert len(keys(store)) == 2


def test_the_merged_table_is_the_same_table(store, log):
    for rows in (3, 4):
        log.predictions(rows)
    originals = [pq.read_table(io.BytesIO(data)) for _, data in sorted(log.written.items())]
    run(store)
    reader = SegmentReader(store)
    for segment, original in zip(list_segments(store, PREDICTIONS), originals, strict=True):
        table = reader.read(segment)
        assert table.equals(original)
        assert table.schema.equals(original.schema, check_metadata=True)
