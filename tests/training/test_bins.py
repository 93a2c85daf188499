"""Bins of boosted trees are scikit-learn's, found faster."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper, _find_binning_thresholds

from perennial.training.bins import find_thresholds, set_bins


def numbers(**more: Any) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(width=32, allow_nan=True, **more), min_size=1, max_size=60)


@given(numbers(allow_infinity=False), st.integers(2, 20))
def test_thresholds_are_those_of_scikit_learn(values: list[float], bins: int) -> None:
    column = np.array([*values, 0.0], dtype=np.float32)  # one is not missing
    theirs = _find_binning_thresholds(column.astype(np.float64), bins)
    np.testing.assert_allclose(find_thresholds(column, bins), theirs, rtol=1e-12)


@given(numbers(), st.integers(2, 20))
def test_infinite_values_are_on_one_side_of_each_threshold(values: list[float], bins: int) -> None:
    column = np.array([*values, -np.inf, np.inf], dtype=np.float32)
    found = find_thresholds(column, bins)
    assert not np.isnan(found).any()
    assert (np.diff(found) > 0).all()
    assert (found < np.inf).all()


@pytest.mark.parametrize("rows", [3, 62, 63, 64, 1_000, 25_017])
def test_rows_fall_into_the_bins_that_scikit_learn_puts_them_in(rows: int) -> None:
    rng = np.random.default_rng(rows)
    x = np.column_stack(
        [rng.normal(size=rows), rng.integers(0, 9, rows), rng.integers(0, 300, rows)]
    )
    x[rng.random(x.shape) < 0.1] = np.nan
    x[0] = 1
    x = x.astype(np.float32).astype(np.float64)

    def mapper() -> Any:
        return _BinMapper(n_bins=64, random_state=0, n_threads=1)

    theirs, mine = mapper().fit(x), mapper()
    set_bins(mine, [find_thresholds(column, 63) for column in x.T])
    assert np.array_equal(mine.transform(x), theirs.transform(x))
    assert np.array_equal(mine.n_bins_non_missing_, theirs.n_bins_non_missing_)
    assert vars(mine).keys() == vars(theirs).keys()
