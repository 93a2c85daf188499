from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from perennial.datasets.seen import rows_behind


def stream(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"x": values, "c": [f"c{value}" for value in values]})


def test_rows_that_came_since_are_behind() -> None:
    assert rows_behind(stream(1, 2, 3, 4, 5), stream(1, 2, 3)) == 2
    assert rows_behind(stream(1, 2, 3), stream(1, 2, 3)) == 0
    assert rows_behind(stream(1, 2), stream()) == 2


def test_a_label_that_came_late_between_seen_rows_is_not_behind_them() -> None:
    assert rows_behind(stream(1, 9, 2, 3, 4), stream(1, 2, 3)) == 1


def test_a_row_like_one_that_was_seen_is_new_all_the_same() -> None:
    assert rows_behind(stream(1, 1, 1, 1), stream(1, 1)) == 2


def test_a_column_that_changed_its_type_hides_nothing() -> None:
    seen = pd.DataFrame({"n": [1, 2], "t": pd.Categorical(["a", None]), "old": [0, 0]})
    grown = pd.DataFrame({"n": [1.0, 2.0, np.nan], "t": ["a", None, "b"], "new": [1, 1, 1]})
    assert rows_behind(grown, seen) == 1


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(0, 30))
def test_what_follows_a_prefix_is_behind_it(values: list[int], cut: int) -> None:
    frame = stream(*map(float, values))
    assert rows_behind(frame, frame.iloc[:cut]) == len(frame.iloc[cut:])
