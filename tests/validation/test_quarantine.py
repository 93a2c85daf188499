from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from perennial.datasets.stream import Cursor
from perennial.errors import PerennialError
from perennial.spec import parse_spec
from perennial.validation.cause import Cause
from perennial.validation.quarantine import Quarantine, find_name, row_ids

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SPEC = parse_spec(
    {"name": "p", "task": "regression", "source": {"uri": "a.csv"}, "target": "y"}, origin="test"
)


@pytest.fixture
def quarantine(store):
    return Quarantine(store, "p")


def refused(*ids):
    return pd.DataFrame({"x": [float(len(i)) for i in ids], "c": list(ids)})


def put(quarantine, name, *ids):
    return quarantine.put_aside(name, refused(*ids), ["low(x)"] * len(ids), list(ids), NOW)


def test_refused_rows_stand_with_the_rule_that_refused_each(quarantine):
    assert put(quarantine, "w000001", "a", "bb") == 2
    frame = quarantine.rows("w000001")
    assert list(frame["_rule"]) == ["low(x)", "low(x)"]
    assert list(frame["_row"]) == ["a", "bb"]
    (entry,) = quarantine.entries()
    assert (entry.record.rows, entry.record.reasons, entry.released) == (2, ("low(x): 2",), 0)


def test_a_rerun_writes_nothing_twice_and_a_row_stands_once(quarantine):
    put(quarantine, "w000001", "a", "bb")
    assert put(quarantine, "w000001", "a", "bb", "new") == 0
    assert put(quarantine, "f00d", "a", "bb", "ccc") == 1
    assert list(quarantine.rows("f00d")["_row"]) == ["ccc"]
    assert put(quarantine, "beef", "ccc") == 0
    assert len(quarantine.entries()) == 2


def test_rows_that_cannot_be_used_stand_once_with_an_example_of_each_reason(quarantine):
    rows = refused("a", "bb").assign(_rule="is_time(at)", _fault=["at: 'x' is no time", "other"])
    prefixes = ("w000001", "w000001", "served")
    assert [quarantine.put_unusable(p, rows, ["a", "bb"], NOW) for p in prefixes] == [2, 0, 0]
    (entry,) = quarantine.entries()
    assert entry.record.name.startswith("w000001-unusable-")
    assert entry.record.reasons == ("is_time(at): 2, such as at: 'x' is no time",)
    assert quarantine.put_unusable("w000002", rows[:0], [], NOW) == 0


def test_rows_written_by_a_run_that_died_before_its_record_are_not_there(quarantine, store):
    put(quarantine, "w000001", "a")
    store.delete("p/quarantine/w000001/record.json")
    assert quarantine.entries() == []
    assert put(quarantine, "w000001", "a") == 1


def test_released_rows_are_exempt(quarantine):
    put(quarantine, "w000001", "a", "bb")
    quarantine.release("w000001", "r1", "looked at", "me", NOW, rows=["bb"])
    assert quarantine.exempt() == {"bb"}
    quarantine.release("w000001", "r2", "all fine", "me", NOW)
    assert quarantine.exempt() == {"a", "bb"}
    assert quarantine.entries()[0].released == 2


def test_rows_that_pass_by_now_are_released_once(quarantine):
    put(quarantine, "w000001", "a", "bb", "ccc")
    assert quarantine.settle(["a", "new"], ["bb"], "snap", NOW) == 1
    assert quarantine.settle(["a", "new"], ["bb"], "snap", NOW) == 0
    assert quarantine.exempt() == {"a"}


def test_a_held_window_is_held_until_released(quarantine):
    cause = Cause(kind="frozen_column", columns=("x",), detail="still")
    span = {"start": Cursor(source_rows=10), "end": Cursor(source_rows=30)}
    for _ in range(2):
        quarantine.hold("w000002", [cause], rows=20, at=NOW, **span)
    (record,) = quarantine.held_windows()
    assert (record.rows, record.end.source_rows) == (20, 30)
    assert record.reasons == ("frozen column in x: still",)
    quarantine.release("w000002-held", "r1", "true after all", "me", NOW)
    assert quarantine.held_windows() == []


def test_what_is_not_there_is_said_in_one_line(quarantine):
    put(quarantine, "w000001", "a")
    with pytest.raises(PerennialError, match="nothing named 'w9'"):
        quarantine.release("w9", "r1", "", "me", NOW)
    with pytest.raises(PerennialError, match="refused by 'high'"):
        quarantine.release("w000001", "r1", "", "me", NOW, rule="high")
    with pytest.raises(PerennialError, match="nothing in the quarantine of p"):
        find_name(quarantine.entries(), "x", "p")


def test_a_row_of_the_source_keeps_its_id_beside_others_and_loses_it_when_mended():
    frame = pd.DataFrame({"x": [1, 2], "c": ["a", None], "y": [0, 1]})
    ids = row_ids(frame, np.array([5, 6]), SPEC)
    wider = frame.assign(x=frame["x"].astype(float), _id=None)
    assert row_ids(wider, np.array([5, 6]), SPEC) == ids
    assert row_ids(frame.iloc[1:], np.array([6]), SPEC) == ids[1:]
    mended = row_ids(frame.assign(x=[1, 3]), np.array([5, 6]), SPEC)
    assert mended[0] == ids[0]
    assert mended[1] != ids[1]
    served = row_ids(frame.assign(_id=["r-1", "r-2"]), np.array([0, 1]), SPEC)
    assert served == ["r-1", "r-2"]
