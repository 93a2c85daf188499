from datetime import timedelta

import pandas as pd
import pytest

from perennial.datasets.labels import labelled_rows, labels_for
from perennial.datasets.log_reader import SegmentReader
from perennial.datasets.stream import Cursor, cut_windows, read_span
from perennial.packaging.labels import LabelRule
from perennial.spec import parse_spec
from tests.datasets.conftest import SIGNATURE, START, WIDE


def spec_of(window, **more):
    declared = {
        "name": "p",
        "task": "regression",
        "source": {"uri": "history.csv"},
        "target": "y",
        "monitor": {"window": window},
        **more,
    }
    return parse_spec(declared, origin="test")


def history(rows):
    return pd.DataFrame(
        {"x": [float(-n) for n in range(rows)], "c": "h", "y": [1.0 * n for n in range(rows)]}
    )


def ids(window):
    return list(window.frame["_id"])


def numbered(first, last):
    return [f"r{n}" for n in range(first, last)]


def test_windows_are_cut_across_segments_and_the_rest_waits(store, log):
    for rows in (15, 30, 8):
        log.predictions(rows)
    source = history(5)
    windows = list(cut_windows(SegmentReader(store), spec_of(20), source, Cursor(source_rows=5)))
    assert [ids(w) for w in windows] == [numbered(0, 20), numbered(20, 40)]


def test_a_cursor_goes_on_where_the_last_window_ended(store, log):
    log.predictions(50)
    source, spec = history(5), spec_of(20)
    first = next(cut_windows(SegmentReader(store), spec, source, Cursor(source_rows=5)))
    log.predictions(15)
    later = list(cut_windows(SegmentReader(store), spec, source, first.end))
    assert [ids(w) for w in later] == [numbered(20, 40), numbered(40, 60)]


def test_nothing_new_is_no_window(store, log):
    log.predictions(20)
    source, spec = history(5), spec_of(20)
    (window,) = cut_windows(SegmentReader(store), spec, source, Cursor(source_rows=5))
    assert list(cut_windows(SegmentReader(store), spec, source, window.end)) == []


def test_rows_that_a_growing_source_gained_come_before_the_served_ones(store, log):
    log.predictions(30)
    source = history(15)
    (window, *_) = cut_windows(SegmentReader(store), spec_of(20), source, Cursor(source_rows=5))
    assert list(window.frame["y"].dropna()) == [1.0 * n for n in range(5, 15)]
    assert list(window.frame["_id"].dropna()) == numbered(0, 10)


def test_shadow_answers_are_no_rows_of_the_stream(store, log):
    log.predictions(10)
    log.predictions(10, role="shadow")
    log.predictions(20)
    (window,) = cut_windows(SegmentReader(store), spec_of(25), history(5), Cursor(source_rows=5))
    assert ids(window) == numbered(0, 10) + numbered(20, 35)


def test_a_window_of_time_closes_with_the_first_row_behind_it(store, log):
    log.predictions(60)  # a row an hour
    windows = list(
        cut_windows(SegmentReader(store), spec_of("1d", time="ts"), _timed(), Cursor(source_rows=2))
    )
    assert [len(w.frame) for w in windows] == [24, 24]


def _timed():
    return history(2).assign(ts=pd.to_datetime(["2029-01-01", "2029-01-02"]))


@pytest.mark.parametrize("sizes", [(50,), (7, 13, 30), (20, 20, 10), (1,) * 150])
def test_a_window_can_be_read_again(store, log, sizes):
    for rows in sizes:
        log.predictions(rows)
    source, spec = history(5), spec_of(20)
    for window in cut_windows(SegmentReader(store), spec, source, Cursor(source_rows=0)):
        again = read_span(SegmentReader(store), spec, source, window.start, window.end)
        assert list(again["x"]) == list(window.frame["x"])


def test_small_segments_of_several_versions_come_in_their_order(store, log):
    for number in range(90):
        wide = number % 40 > 30
        log.predictions(1, signature=WIDE if wide else SIGNATURE)
        log.predictions(1, role="shadow")
    source, spec = history(5), spec_of(20)
    windows = list(cut_windows(SegmentReader(store), spec, source, Cursor(source_rows=5)))
    assert [i for w in windows for i in ids(w)] == [f"r{2 * n}" for n in range(80)]
    for window in windows:
        again = read_span(SegmentReader(store), spec, source, window.start, window.end)
        same = ["_id", "_row", "x", "c", "_output"]
        pd.testing.assert_frame_equal(again[same], window.frame[same])


def test_the_latest_label_of_a_row_wins_and_a_repeated_one_changes_nothing(store, log):
    log.predictions(20)
    log.feedback({"r0": 1.5, "r1": 2.5})
    log.feedback({"r1": 3.5}, at=START + timedelta(hours=1))
    log.feedback({"r0": 1.5}, at=START + timedelta(hours=2))
    (window,) = cut_windows(SegmentReader(store), spec_of(20), history(5), Cursor(source_rows=5))
    labels = labels_for(SegmentReader(store), "p", window.frame, "y", LabelRule("regression"))
    assert list(labels.values[:3]) == [1.5, 3.5, None]


def test_labelled_rows_are_the_history_and_the_served_rows_with_a_truth(store, log):
    log.predictions(20)
    log.feedback({"r3": 33, "r7": 77, "unknown": 1})
    rows = labelled_rows(store, spec_of(20), history(5)).frame
    assert list(rows["y"]) == [0, 1, 2, 3, 4, 33, 77]
    assert list(rows["x"]) == [0, -1, -2, -3, -4, 3, 7]
    assert list(rows.columns) == ["x", "c", "y"]


def test_class_labels_are_compared_in_one_form(store, log):
    log.predictions(20)
    log.feedback({"r0": 1, "r1": True, "r2": "1"})
    spec = spec_of(20).model_copy(update={"task": "multiclass"})
    rows = labelled_rows(store, spec, history(5).assign(y=[0, 1, 0, 1, 1])).frame
    assert list(rows["y"]) == ["0", "1", "0", "1", "1", "1", "true", "1"]
