"""Heads get the share that they have earned on rows they had not seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.evaluation.mixing import HeadTrial, Mixture, expected_gain, gain, mix, try_heads


def trial(good: float, seed: int = 0, mixture: Mixture | None = None, rows: int = 200) -> HeadTrial:
    """The correction takes ``good`` of the base's error away, the others move at random."""
    rng = np.random.default_rng(seed)
    y, base = rng.normal(size=rows), np.zeros((rows, 1))
    idle = [rng.normal(size=(rows, 1)) for _ in range(2)]
    heads = [*idle, good * y[:, None] + rng.normal(0, 0.1, (rows, 1))]
    return try_heads("w", "regression", y, base, heads, mixture or Mixture())


def test_a_head_that_is_right_gets_most_of_the_answer() -> None:
    shares = mix([trial(1.0, seed) for seed in range(4)])
    assert shares.correct > 0.8
    assert shares.recalibrate + shares.renew < 0.2
    assert shares.depth == "correct"


def test_heads_that_move_at_random_get_next_to_nothing() -> None:
    shares = mix([trial(0.0, seed) for seed in range(8)])
    assert sum(shares.shares) < 0.1


def test_a_head_that_is_wrong_gets_nothing() -> None:
    assert mix([trial(-1.0, seed) for seed in range(4)]).correct == 0


def test_without_a_trial_the_base_stands_alone() -> None:
    assert mix([]) == Mixture()
    assert Mixture().depth is None
    assert gain([]).share == 0


def test_the_first_trial_earns_less_than_many() -> None:
    trials = [trial(1.0, seed) for seed in range(6)]
    assert mix(trials[:1]).correct < mix(trials).correct


def test_two_that_err_apart_are_better_than_either() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=2000)
    first, second = (y[:, None] + rng.normal(0, 1, (2000, 1)) for _ in range(2))
    mixture = mix([try_heads("w", "regression", y, first, [first, second, first], Mixture())] * 8)
    assert mixture.renew == pytest.approx(0.5, abs=0.1)
    assert mixture.depth == "correct"


def test_newer_trials_weigh_more() -> None:
    wrong, right = [trial(-1.0, s) for s in range(4)], [trial(1.0, s) for s in range(4)]
    assert mix([*wrong, *right]).correct > mix([*right, *wrong]).correct


def test_the_gain_is_that_of_the_mixture_that_was_asked_for() -> None:
    asked = Mixture(correct=1.0)
    found = gain([trial(1.0, seed, asked) for seed in range(4)])
    assert found.share == pytest.approx(0.99, abs=0.02)
    assert found.t > 5
    assert gain([trial(1.0, seed) for seed in range(4)]).share == 0


def test_what_is_expected_is_what_the_same_rows_show() -> None:
    mixture = Mixture(recalibrate=0.2, correct=0.5)
    asked = trial(0.7, mixture=mixture)
    assert expected_gain([asked], mixture) == pytest.approx(gain([asked]).share, abs=1e-9)


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=10))
def test_shares_are_a_convex_mixture(quality: list[float]) -> None:
    shares = mix([trial(good, seed, rows=20) for seed, good in enumerate(quality)]).shares
    assert all(share >= 0 for share in shares)
    assert sum(shares) <= 1 + 1e-9


def test_classes_are_compared_by_probabilities() -> None:
    base = np.full((30, 3), 1 / 3)
    y = np.arange(30) % 3
    right = np.eye(3)[y]
    shares = mix([try_heads("w", "multiclass", y, base, [base, base, right], Mixture())] * 4)
    assert shares.correct > 0.8


def test_a_wild_row_does_not_sway_what_is_judged_by_absolute_errors() -> None:
    rng = np.random.default_rng(0)
    y, base = rng.normal(size=200), np.zeros((200, 1))
    heads = [base, base, 0.8 * y[:, None]]
    y[7] = -1e6 * np.sign(y[7])
    squares = try_heads("w", "regression", y, base, heads, Mixture())
    absolute = try_heads("w", "regression", y, base, heads, Mixture(), metric="mae")
    assert mix([squares]).correct == 0
    assert mix([absolute]).correct > 0.5


def test_each_class_counts_alike_where_the_metric_says_so() -> None:
    y = (np.arange(200) < 4).astype(int)
    base = np.full((200, 1), 0.02)
    louder = np.full((200, 1), 0.5)
    alike = try_heads("w", "binary", y, base, [base, base, louder], Mixture(), metric="auc")
    balanced = try_heads(
        "w", "binary", y, base, [base, base, louder], Mixture(), metric="balanced_accuracy"
    )
    assert mix([alike]).correct == 0
    assert mix([balanced]).correct > 0.5
