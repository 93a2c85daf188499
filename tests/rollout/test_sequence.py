import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.rollout.loss_test import refuted_after, trail
from perennial.rollout.sequence import WARM_UP, excess, log_capital
from perennial.spec import Rollout
from tests.rollout.conftest import losses

RICH = math.log(1 / 0.05)


def coins(runs, rows, worse, seed):
    """0/1 losses with rates 0.2 and (1 + worse) 0.2."""
    rng = np.random.default_rng(seed)
    hit = rng.random((runs, rows))
    return (hit < 0.2 * (1 + worse)).astype(float), (hit < 0.2).astype(float)


def test_a_gambler_rarely_grows_rich_where_nothing_is_to_be_won():
    x = excess(*coins(400, 2000, 0.1, seed=1), 0.1)
    ever = (log_capital(x, "worse", bound=1.0, relative=0.1) >= RICH).any(axis=1)
    assert ever.mean() <= 0.05


def test_he_grows_rich_where_the_challenger_is_better():
    x = excess(*coins(50, 4000, -0.2, seed=2), 0.1)
    assert (log_capital(x, "worse", bound=1.0, relative=0.1) >= RICH).any(axis=1).mean() > 0.95


def test_he_learns_before_he_bets():
    x = excess(*coins(1, 200, -0.5, seed=3), 0.0)
    assert not log_capital(x, "worse", bound=1.0)[0, :WARM_UP].any()


@given(st.lists(st.tuples(st.floats(0, 7), st.floats(0, 7)), min_size=60, max_size=90))
def test_no_row_of_a_bounded_law_ruins_him(rows):
    mine, theirs = np.array(rows).T
    for null in ("worse", "not_worse"):
        capital = log_capital(excess(mine, theirs, 0.3), null, bound=7.0, relative=0.3)
        assert np.isfinite(capital).all()


@given(st.integers(60, 200), st.integers(0, 99))
def test_what_was_decided_after_some_rows_does_not_depend_on_later_ones(rows, seed):
    whole = excess(*coins(1, 200, -0.2, seed), 0.05)
    for bound in (1.0, None):
        early = log_capital(whole[:, :rows], "worse", bound=bound, relative=0.05)
        late = log_capital(whole, "worse", bound=bound, relative=0.05)
        np.testing.assert_allclose(early, late[:, :rows], atol=1e-9)


@pytest.mark.parametrize(("worse", "better"), [(-0.3, True), (0.6, False)])
def test_without_a_bound_the_truth_wins_too(worse, better):
    seen = losses(3000, worse)
    assert (refuted_after(seen, "worse", 0.05, 0.05) is not None) is better
    assert (refuted_after(seen, "not_worse", 0.05, 0.05) is not None) is not better


def test_it_is_told_after_how_many_rows_a_look_would_have_decided():
    seen = losses(3000, -0.3)
    rows = refuted_after(seen, "worse", 0.05, 0.05)
    assert refuted_after(seen.within(slice(rows)), "worse", 0.05, 0.05) == rows
    assert refuted_after(seen.within(slice(rows - 1)), "worse", 0.05, 0.05) is None


def test_one_wild_row_decides_nothing():
    seen = losses(400, 0.05, seed=4)
    seen.champion[200] = 1e9
    assert refuted_after(seen, "worse", 0.05, 0.05) is None


def test_the_trail_narrows_around_the_truth_and_never_widens():
    path = trail(losses(4000, -0.1, seed=5), Rollout())
    assert path.low[-1] < -0.1 < path.high[-1]
    assert path.high[-1] < 0.05
    assert (np.diff(path.high[np.isfinite(path.high)]) <= 0).all()


def test_the_trail_crosses_the_margin_where_the_test_decides():
    seen, rollout = losses(4000, -0.1, seed=5), Rollout()
    path = trail(seen, rollout, entries=4000)
    x = excess(seen.challenger, seen.champion, rollout.margin)
    decided = int(np.argmax(log_capital(x, "worse", bound=None, relative=rollout.margin) >= RICH))
    assert int(path.rows[np.argmax(path.high <= rollout.margin)]) == decided + 1


def test_a_trail_of_nothing_is_empty():
    assert len(trail(losses(0, 0.0), Rollout()).rows) == 0
