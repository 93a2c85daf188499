"""Rows that the rules refuse go aside, and sound ones teach the rules."""

from __future__ import annotations

from perennial.loop.gathered import Gathered
from perennial.loop.sound import fix_rows, learn_first, sort_out, write_down_held
from perennial.registry import read_history
from perennial.validation.quarantine import Quarantine
from perennial.validation.suites import need_suite
from tests.loop.making import NOW, Pipeline, request, stream


def suite_of(pipeline, frame):
    learn_first(pipeline.store, frame, pipeline.spec)
    return need_suite(pipeline.store, pipeline.declaration)


def test_a_row_far_outside_goes_aside_and_comes_back_when_it_is_released():
    pipeline, frame = Pipeline(), stream(300)
    suite = suite_of(pipeline, frame)
    frame.loc[7, "x"] = 1e9
    found = sort_out(frame, pipeline.spec, suite, set())
    assert (list(found.refused.index), len(found.rules), len(found.sound)) == ([7], 1, 299)
    gathered = Gathered(frame, frame.iloc[:0], len(frame), pipeline.spec)
    fixed = fix_rows(pipeline.store, pipeline.snapshots, gathered, suite, clock=lambda: NOW)
    assert (fixed.aside, fixed.snapshot.rows, fixed.report.refused) == (1, 299, 1)
    quarantine = Quarantine(pipeline.store, "p")
    (entry,) = quarantine.entries()
    quarantine.release(entry.record.name, "r", "it is right", "test", NOW)
    again = fix_rows(pipeline.store, pipeline.snapshots, gathered, suite, clock=lambda: NOW)
    assert (again.aside, again.snapshot.rows) == (0, 300)


def test_what_holds_rows_back_is_told_once_to_the_check_that_asks():
    pipeline = Pipeline()
    for cause in ("checks/p/w000001.json", "checks/p/w000001.json", None, None):
        write_down_held(pipeline.store, "p", "a column is gone", request(cause=cause))
    entries = [*read_history(pipeline.store, "p")]
    assert [entry.cause for entry in entries] == ["checks/p/w000001.json", None, None]
