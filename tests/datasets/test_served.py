"""Served rows and labels that cannot be used stay in their place and say why."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from perennial.datasets.feedback import look_at_feedback
from perennial.datasets.labels import label_rule, labelled_rows, labels_for, read_labels
from perennial.datasets.log import prediction_schema
from perennial.datasets.log_reader import SegmentReader, list_segments, read_predictions
from perennial.datasets.served import FAULT, RULE, take_times, take_types, unusable
from perennial.datasets.stream import Cursor, cut_windows, read_span
from perennial.packaging.labels import LabelRule
from perennial.packaging.signature import Feature, TimeField
from perennial.spec import TimeFormat
from perennial.store import layout
from tests.datasets.conftest import SIGNATURE, START, LogWriter
from tests.datasets.memory_store import MemoryStore
from tests.datasets.test_stream import history, spec_of

ISO = TimeField(name="ts", format=TimeFormat())
GERMAN = TimeField(name="ts", format=TimeFormat(format="%d.%m.%Y", timezone="Europe/Berlin"))


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def log(store):
    return LogWriter(store)


def arrived(*values):
    moments = [START + timedelta(minutes=n) for n in range(len(values))]
    return pd.DataFrame({"ts": list(values), "_time": moments})


def test_a_row_without_a_time_happened_when_it_arrived():
    read = take_times(arrived("2026-01-31T14:00:00+02:00", None, ""), ISO)
    assert list(read["ts"].astype(str)) == [
        "2026-01-31 12:00:00",
        "2030-01-01 00:01:00",
        "2030-01-01 00:02:00",
    ]
    assert not unusable(read).any()


def test_a_time_that_is_none_makes_its_row_unusable_and_no_other():
    read = take_times(arrived("2026-01-31", "gestern"), ISO)
    assert list(unusable(read)) == [False, True]
    assert read[RULE].iloc[1] == "is_time(ts)"
    assert read[FAULT].iloc[1].startswith("ts: 'gestern' is no time: write 2026-01-31")
    assert read["ts"].iloc[1] == pd.Timestamp("2030-01-01 00:01")


def test_a_segment_says_how_its_times_are_written(store, log):
    log.predictions(3, signature=SIGNATURE.model_copy(update={"time": ISO}))
    segments = list_segments(store, layout.prediction_log("p"))
    assert not unusable(read_predictions(store, segments, GERMAN)).any()
    log.predictions(3)
    old = list_segments(store, layout.prediction_log("p"))[1:]
    assert not unusable(read_predictions(store, old, GERMAN)).any()  # ISO is always understood
    metadata = prediction_schema(SIGNATURE.model_copy(update={"time": GERMAN})).metadata
    assert b"Europe/Berlin" in metadata[b"perennial.log.time"]


def test_features_take_the_type_that_the_source_has_by_now():
    spec = spec_of(20, ignore=["note"])
    source = history(2).assign(note=[1.0, 2.0])
    served = pd.DataFrame({"x": ["1.5", None, "n/a"], "c": [1.0, 2.5, np.nan], "note": ["a"] * 3})
    read = take_types(served, source, spec)
    assert read["x"].iloc[0] == 1.5
    assert np.isnan(read["x"].iloc[1])
    assert list(read["c"]) == ["1", "2.5", None]
    assert list(unusable(read)) == [False, False, True]
    assert read[FAULT].iloc[2] == "x: 'n/a' is no number"


def test_windows_hold_what_cannot_be_used_and_can_be_read_again(store, log):
    spec = spec_of(20, time="ts")
    source = history(2).assign(ts=pd.to_datetime(["2029-01-01", "2029-01-02"]))
    log.predictions(25, times={3: "gestern", 7: None})
    (window,) = cut_windows(SegmentReader(store), spec, source, Cursor(source_rows=2))
    assert list(np.flatnonzero(unusable(window.frame))) == [3]
    again = read_span(SegmentReader(store), spec, source, window.start, window.end)
    pd.testing.assert_frame_equal(again, window.frame)


def test_a_time_column_that_was_declared_later_is_the_arrival(store, log):
    plain = SIGNATURE.model_copy(update={"context": ()})
    log.predictions(20, signature=plain)
    source = history(2).assign(ts=pd.to_datetime(["2029-01-01", "2029-01-02"]))
    (window,) = cut_windows(
        SegmentReader(store), spec_of(20, time="ts"), source, Cursor(source_rows=2)
    )
    assert window.frame["ts"].iloc[1] == pd.Timestamp("2030-01-01 00:01")


def test_labels_that_cannot_be_used_are_told_apart(store, log):
    log.predictions(20)
    log.feedback({"r0": 1.5, "r1": "n/a", "r2": True, "r3": 1e39, "r4": [1]})
    (window,) = cut_windows(SegmentReader(store), spec_of(20), history(5), Cursor(source_rows=5))
    told = labels_for(SegmentReader(store), "p", window.frame, "y", LabelRule("regression"))
    assert list(told.values[:6]) == [1.5, None, None, None, None, None]
    assert [f and f.rule for f in told.faults[:6]] == [
        None,
        "is_number",
        "is_number",
        "is_float32",
        "is_number",
        None,
    ]
    labelled = labelled_rows(store, spec_of(20), history(5))
    assert list(labelled.frame.index) == [0, 1, 2, 3, 4, "r0"]
    assert list(labelled.unusable.index) == ["r1", "r2", "r3", "r4"]
    assert labelled.unusable.loc["r1", FAULT] == "y: 'n/a' is no number"
    log.feedback({"r1": 2.5}, at=START + timedelta(hours=1))
    assert "r1" in labelled_rows(store, spec_of(20), history(5)).frame.index


def test_text_that_is_no_json_is_no_label():
    values, faults = read_labels(["1", None, "{", "NaN"], LabelRule("regression"))
    assert values == [1, None, None, None]
    assert [f and f.rule for f in faults] == [None, None, "is_json", "is_float32"]


@pytest.mark.parametrize(
    ("source", "feedback", "classes"),
    [
        ([0, 1], ['"n/a"'] * 9, ("0", "1")),
        ([0.0], ["1", "1", '"n/a"', "true"], ("0", "1")),
        ([], ["1", "1", "0", "0", '"n/a"'], ("0", "1")),
        (["no", "yes", "?"], ["1"], ("?", "no", "yes")),
    ],
)
def test_no_feedback_makes_a_third_class(source, feedback, classes):
    spec = spec_of(20).model_copy(update={"task": "binary"})
    assert label_rule(spec, pd.Series(source, dtype=object), feedback).classes == classes


def test_labels_without_a_request_are_counted_once(store, log):
    log.predictions(30)
    log.feedback({"r3": 1.0, "r29": 1.0, "x-1": 2.0, "x-2": 3.0, "r4": "n/a"})
    rule, minute = LabelRule("regression"), timedelta(minutes=1)

    def look(after, until):
        reader = SegmentReader(store)
        return look_at_feedback(reader, "p", rule, after=after, until=until, since=None)

    first = look(None, START + minute)
    assert (first.labels, first.unmatched, first.unmatched_id) == (5, 2, "x-1")
    assert (first.unusable, first.unusable_why) == (1, "'r4': 'n/a' is no number")
    assert str(first) == (
        "2 of 5 labels name no logged request, such as 'x-1'; "
        "1 of 5 labels cannot be used, such as that of 'r4': 'n/a' is no number"
    )
    assert str(look(START + minute, START + 2 * minute)) == ""
    log.feedback({"r5": 1.0, "x-3": 1.0}, at=START + 2 * minute)
    again = look(START + minute, START + 2 * minute)
    assert (again.labels, again.unmatched, again.unmatched_id) == (2, 1, "x-3")


def test_a_feature_of_a_wider_version_does_not_mix_the_schemas(store, log):
    timed = SIGNATURE.model_copy(update={"time": ISO})
    wide = timed.model_copy(
        update={"features": (*timed.features, Feature(name="z", kind="numeric"))}
    )
    for signature in (SIGNATURE, timed, wide, SIGNATURE):
        log.predictions(5, signature=signature)
    source = history(2).assign(ts=pd.to_datetime(["2029-01-01", "2029-01-02"]))
    (window,) = cut_windows(
        SegmentReader(store), spec_of(20, time="ts"), source, Cursor(source_rows=2)
    )
    assert list(window.frame["x"]) == [float(n) for n in range(20)]
    assert not unusable(window.frame).any()
