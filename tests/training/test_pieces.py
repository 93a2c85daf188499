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
from perennial.training.split import forward_folds
from perennial.training.target_encoding import MAX_CLASSES, fit_target_encoder
from perennial.training.trial import FoldTrial, choose_rounds


def categories(values: list[str], y: Any, width: int = 1, task: Any = "regression") -> TrainingSet:
    return TrainingSet(
        task=task,
        metric="rmse",
        width=width,
        numeric=np.empty((len(values), 0), dtype=np.float32),
        categorical=np.array(values, dtype=object)[:, None],
        y=np.asarray(y),
    )


def numbers(y: Any, task: Any = "regression", width: int = 1) -> TrainingSet:
    return categories(["a"] * len(y), y, width, task)


def test_each_folds_newer_rows_are_older_ones_of_the_next() -> None:
    folds = forward_folds(numbers(np.arange(20.0)))
    assert [len(fold.older) for fold in folds] == [11, 14, 17]
    assert [fold.newer.y.tolist() for fold in folds] == [[11, 12, 13], [14, 15, 16], [17, 18, 19]]


def test_too_few_rows_make_no_fold() -> None:
    assert forward_folds(numbers(np.arange(6.0))) == ()


def test_no_model_is_tried_on_a_class_that_it_has_not_seen() -> None:
    y = np.array([0, 1] * 6 + [0, 2, 2, 1, 0, 2, 1, 2])
    folds = forward_folds(numbers(y, "multiclass", width=3))
    assert [fold.newer.y.tolist() for fold in folds] == [[1, 0], [2, 1, 0], [2, 1, 2]]
    assert all({0, 1, 2} <= set(fold.older.y) for fold in folds)


def trial(*curve: float, rows: int = 100) -> FoldTrial:
    return FoldTrial(rows, np.array(curve), lambda _: np.empty((rows, 1)))


def rounds(*trials: FoldTrial) -> int | None:
    return choose_rounds(trials, least=1, default=9, enough=20)


def test_rounds_are_those_that_do_best_over_all_folds() -> None:
    early, late = trial(1.0, 0.6, 0.7, 0.8), trial(1.0, 0.9, 0.7, 0.4)
    assert (rounds(early), rounds(late), rounds(early, late)) == (1, 3, 3)


def test_a_fold_of_larger_losses_counts_for_no_more() -> None:
    early, late = trial(1.0, 0.5, 0.7), trial(100.0, 80.0, 79.0)
    assert rounds(early, late) == 1


def test_a_trial_that_has_ended_stands_as_it_has_ended() -> None:
    assert rounds(trial(1.0, 0.5, 0.6), trial(1.0, 0.9, 0.8, 0.7, 0.1)) == 4
    assert rounds(trial(1.0, 0.1, 0.9), trial(1.0, 0.9, 0.8, 0.7, 0.6)) == 1


def test_of_too_few_rows_no_rounds_are_chosen() -> None:
    assert rounds(trial(1.0, 0.5, rows=9), trial(1.0, 0.5, rows=9)) == 9


def test_a_family_without_rounds_has_none() -> None:
    assert rounds(FoldTrial(100, None, lambda _: np.empty((100, 1)))) is None


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
