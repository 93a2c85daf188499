import numpy as np
import pandas as pd
import pytest

from perennial.datasets.snapshot import find_snapshot, load_snapshot, rebuild_source, take_snapshot
from perennial.errors import StoreError

FRAME = pd.DataFrame(
    {"x": [1.0, None, 3.0], "c": ["a", None, "b"], "ts": pd.to_datetime(["2030-01-01"] * 3)}
)


def take(store, frame=FRAME):
    return take_snapshot(store, "p", frame, source="a.csv", source_rows=3, from_source=3)


def test_a_snapshot_gives_back_its_rows(store):
    snapshot = take(store)
    back = load_snapshot(store, find_snapshot(store, "p", snapshot.sha256))
    pd.testing.assert_frame_equal(back, FRAME)


def test_the_same_rows_have_the_same_name_and_others_another(store):
    assert take(store) == take(store)
    changed = FRAME.assign(x=[1.0, None, 3.5])
    assert take(store, changed).sha256 != take(store).sha256


def test_a_damaged_snapshot_is_not_used(store):
    snapshot = take(store)
    other = take(store, FRAME.assign(x=0.0))
    store.put(snapshot.file, store.get(other.file).data)
    with pytest.raises(StoreError, match="altered or damaged"):
        load_snapshot(store, snapshot)


def test_a_snapshot_stands_in_for_each_row_of_its_source_in_their_order(store):
    kept = pd.DataFrame({"x": np.arange(8.0), "y": 1.0})
    taken = take_snapshot(store, "p", kept, source="a.csv", source_rows=12, from_source=6)
    rows = rebuild_source(store, taken)
    assert list(rows["x"]) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
