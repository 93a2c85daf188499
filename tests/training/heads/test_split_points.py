from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from perennial.training.heads.split_points import MISSING, MOST, count_below, find_split_points

columns = arrays(np.float32, st.integers(0, 300), elements=st.floats(width=32))
answers = arrays(np.float32, st.integers(1, 300), elements=st.floats(0, 1, width=32))


@given(columns)
def test_a_count_says_on_which_side_of_each_point_a_value_is(column: Any) -> None:
    points = find_split_points(column, noise=0.0)
    counts = count_below(column, points)
    missing = np.isnan(column)
    assert len(points) <= MOST
    assert (np.diff(points) > 0).all()
    np.testing.assert_array_equal(counts == MISSING, missing)
    for n, point in enumerate(points):
        np.testing.assert_array_equal(counts[~missing] <= n, column[~missing] <= point)


@given(columns)
def test_the_few_values_of_a_column_are_all_parted(column: Any) -> None:
    values = np.unique(column[np.isfinite(column)])[:MOST]
    counts = count_below(values, find_split_points(values, noise=0.0))
    assert len(np.unique(counts)) == len(values)


@given(answers, st.floats(0, 1e-3))
def test_no_point_is_within_the_noise_of_a_value(column: Any, noise: float) -> None:
    points = find_split_points(column, noise)
    reach = noise * column.max() * (1 - 1e-3)
    for moved in (column - reach, column + reach):
        np.testing.assert_array_equal(
            count_below(moved.astype(np.float32), points), count_below(column, points)
        )
