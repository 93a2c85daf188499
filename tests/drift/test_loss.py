"""A loss has risen when it is clearly above its promise, and not for a few wild rows."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.drift.loss import LossVerdict, Promise, check_loss, pool, promise
from perennial.spec import Policy

POLICY = Policy()


def promised(n: int = 300, scale: float = 1.0, seed: int = 0) -> Promise:
    y = np.random.default_rng(seed).normal(0, scale, n)
    return promise("regression", "rmse", y, np.zeros((n, 1)))


def verdict(y: np.ndarray, what: Promise) -> LossVerdict:
    return check_loss(
        "w000001",
        what,
        task="regression",
        metric="rmse",
        y=y,
        output=np.zeros((len(y), 1)),
        policy=POLICY,
    )


def test_a_promise_is_mean_and_variance_of_the_row_losses() -> None:
    what = promise("regression", "mae", np.array([1.0, 3.0]), np.zeros((2, 1)))
    assert (what.rows, what.mean, what.variance) == (2, 2.0, 1.0)


def test_a_standard_is_given_up_slowly() -> None:
    old = promised(scale=1.0)
    y = np.random.default_rng(5).normal(0, 3, 300)
    new = promise("regression", "rmse", y, np.zeros((300, 1)), standing=old)
    assert old.mean < new.mean < new.measured
    assert new.mean == pytest.approx((old.mean * new.measured) ** 0.5)


def test_a_better_standard_is_taken_at_once() -> None:
    old = promised(scale=3.0)
    y = np.random.default_rng(5).normal(0, 1, 300)
    new = promise("regression", "rmse", y, np.zeros((300, 1)), standing=old)
    assert new.mean == new.measured < old.mean


def test_errors_half_as_large_again_are_a_rise() -> None:
    y = np.random.default_rng(1).normal(0, 1.5, 300)
    found = verdict(y, promised())
    assert found.risen
    assert found.ratio == pytest.approx(2.25, rel=0.3)
    assert 1 < found.low < found.ratio < found.high


def test_errors_as_promised_are_no_rise() -> None:
    risen = [
        verdict(np.random.default_rng(seed).normal(0, 1, 300), promised(seed=1000 + seed)).risen
        for seed in range(100)
    ]
    assert sum(risen) <= 15


def test_one_wild_row_is_no_rise() -> None:
    y = np.random.default_rng(1).normal(0, 1, 300)
    y[17] = 100.0
    found = verdict(y, promised())
    assert found.ratio > 10
    assert found.p_value > 0.1
    assert not found.risen


def test_neighbours_that_agree_count_for_little() -> None:
    rng = np.random.default_rng(3)
    alone = promise("regression", "mae", rng.normal(size=400), np.zeros((400, 1)))
    in_blocks = promise("regression", "mae", np.repeat(rng.normal(size=10), 40), np.zeros((400, 1)))
    assert in_blocks.stderr > 2 * alone.stderr


def test_a_perfect_promise_that_is_kept_is_no_rise() -> None:
    zeros = np.zeros(50)
    what = promise("regression", "rmse", zeros, np.zeros((50, 1)))
    assert verdict(zeros, what).ratio == 1.0
    assert not verdict(zeros, what).risen
    assert verdict(zeros + 1, what).risen


def test_windows_taken_together_are_sharper_than_one() -> None:
    rng = np.random.default_rng(2)
    found = [verdict(rng.normal(0, 1.15, 300), promised(3000)) for _ in range(4)]
    together = pool(found, POLICY)
    assert together.rows == 1200
    assert together.p_value < min(v.p_value for v in found)
    assert together.window == "w000001"


def test_ranking_is_held_against_a_promised_auc() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    good = np.clip(0.5 + 0.3 * (2 * y - 1) + rng.normal(0, 0.3, 400), 0, 1)[:, None]
    what = promise("binary", "auc", y, good)
    assert what.mean < 0.15
    broken = check_loss(
        "w000001", what, task="binary", metric="auc", y=y, output=1 - good, policy=POLICY
    )
    assert broken.loss == pytest.approx(1 - what.mean)
    assert broken.risen


def test_a_window_without_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one row"):
        verdict(np.zeros(0), promised())
    with pytest.raises(ValueError, match="no windows"):
        pool([], POLICY)


def test_an_interval_ends_where_a_loss_does() -> None:
    rng = np.random.default_rng(0)
    wild = verdict(rng.standard_t(1, 30) * 3, promised(30, seed=1))
    assert wild.low == 0 < wild.ratio < wild.high
    y = np.r_[np.zeros(60, int), np.ones(40, int)]
    sure = np.full((100, 1), 0.1)
    wrong = check_loss(
        "w000001",
        promise("binary", "accuracy", y, sure),
        task="binary",
        metric="accuracy",
        y=rng.permutation(1 - y),
        output=sure,
        policy=POLICY,
    )
    assert wrong.high * wrong.promise.mean <= 1
