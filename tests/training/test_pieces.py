"""Splits, levels, codes, scaling and the budget, each by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.training.budget import Budget
from perennial.training.estimator import TrainingSet, both
from perennial.training.levels import Levels
from perennial.training.scaling import Scaler
from perennial.training.split import newest
from perennial.training.target_encoding import MAX_CLASSES, fit_target_encoder


def categories(values: list[str], y: Any, width: int = 1, task: Any = "regression") -> TrainingSet:
    return TrainingSet(
        task=task,
        metric="rmse",
        width=width,
        numeric=np.empty((len(values), 0), dtype=np.float32),
        categorical=np.array(values, dtype=object)[:, None],
        y=np.asarray(y),
    )


def test_the_newest_rows_are_kept_aside() -> None:
    assert newest(np.arange(20.0), "regression", 0.1).tolist() == [False] * 18 + [True] * 2


def test_no_model_is_tried_on_a_class_that_it_has_not_seen() -> None:
    y = np.array([0, 1, 0, 1, 0, 1, 0, 2, 1, 2])
    assert np.flatnonzero(newest(y, "multiclass", 0.3)).tolist() == [8]


def test_levels_are_ranked_by_frequency_then_name() -> None:
    column = np.array(["b", "a", "c", "c", "b", "a", "", "d"], dtype=object)
    levels, numbered = Levels.learn(column, min_count=2, limit=2)
    assert levels.names == ("a", "b")
    assert levels.index(column).tolist() == numbered.tolist() == [2, 1, 0, 0, 2, 1, 0, 0]


@given(st.lists(st.text(max_size=3), max_size=30))
def test_every_level_finds_its_number(values: list[str]) -> None:
    column = np.array(values, dtype=object)
    levels, numbered = Levels.learn(column, min_count=1, limit=1000)
    assert sorted(levels.names) == sorted(set(values))
    assert [levels.names[i - 1] for i in levels.index(column)] == values
    assert levels.index(column).tolist() == numbered.tolist()


def test_codes_pull_rare_categories_to_the_mean() -> None:
    data = categories(["a"] * 500 + ["b"] * 500 + ["c"] * 2, [0.0] * 500 + [1.0] * 502)
    encoder, _ = fit_target_encoder(data)
    a, b, c, unseen = encoder.transform(np.array([["a"], ["b"], ["c"], ["?"]], dtype=object))[:, 0]
    assert a < 0.05
    assert b > 0.95
    assert 0.5 < c < 0.6
    assert unseen == pytest.approx(data.y.mean())


def test_a_rows_own_target_is_not_in_its_code() -> None:
    rng = np.random.default_rng(0)
    names = [f"id-{i % 250}" for i in range(1000)]
    y = rng.normal(size=1000)
    _, codes = fit_target_encoder(categories(names, y))
    assert abs(np.corrcoef(codes[:, 0], y)[0, 1]) < 0.1


def test_a_row_is_not_told_by_its_code_how_its_block_of_time_differs_from_the_others() -> None:
    names = [f"kind-{i % 7}" for i in range(1000)]
    y = np.repeat([0.0, 1.0, 2.0, 3.0, 4.0], 200)
    _, codes = fit_target_encoder(categories(names, y))
    np.testing.assert_allclose(codes, 2, atol=0.02)


def test_a_frequent_category_whose_target_changes_does_not_tell_of_the_time() -> None:
    rng = np.random.default_rng(0)
    names = rng.choice(["a", "b", "c", "d"], 2000).astype(object)
    names[1000:][rng.random(1000) < 0.6] = "a"
    names[rng.choice(2000, 40, replace=False)] = "rare"
    encoder, codes = fit_target_encoder(categories(names, np.where(np.arange(2000) < 1000, 0.0, 5)))
    frequent = names != "rare"
    later = encoder.transform(names[:, None])
    np.testing.assert_array_equal(codes[frequent], later[frequent])
    apart = codes[~frequent] != later[~frequent]
    assert apart.mean() > 0.5, "few rows do not code themselves"


def test_many_classes_are_coded_against_the_most_frequent() -> None:
    y = np.arange(300) % 30
    data = categories(["a", "b", "c"] * 100, y, width=30, task="multiclass")
    encoder, codes = fit_target_encoder(data)
    assert codes.shape == (300, MAX_CLASSES)
    assert encoder.transform(data.categorical).shape == (300, MAX_CLASSES)


def test_scaling_fills_flags_and_winsorises() -> None:
    numeric = np.array([[1, 5, np.nan], [2, 5, np.nan], [np.nan, 5, np.nan]], dtype=np.float32)
    scaler = Scaler.learn(numeric)
    far = np.array([[np.inf, 99, 3], [np.nan, np.nan, np.nan]], dtype=np.float32)
    assert scaler.width == 4
    assert scaler.transform(far).tolist() == [[8, 0, 0, 0], [0, 0, 0, 1]]


def test_a_budget_learns_the_pace_of_the_machine() -> None:
    times = iter([10.0, 16.0])
    budget = Budget(10.0, lambda: next(times))
    assert budget.expect(2.0) == 2.0
    budget.record(1.0, 3.0)
    assert budget.expect(2.0) == 6.0
    assert budget.left() == 4.0


def test_a_model_without_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="features of one kind"):
        both(None, None)
