"""Statistics are held against their prediction one by one, and a category's shares together."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.drift.baseline import Series
from perennial.drift.scoring import Part, Scores, score
from perennial.drift.statistics import Kind, shares_from, shares_of

ROWS = 400
SHARES = np.full(8, 1 / 8)


def shares(windows: np.ndarray, first: float) -> Series:
    values = shares_of(windows, windows.sum(axis=1))
    return Series(values, np.full(values.shape, float(ROWS)), first + np.arange(len(values)))


def scores(rng: np.random.Generator, *newest: np.ndarray, together: bool = True) -> Scores:
    """Twenty windows, then those with the given shares."""
    known = shares(rng.multinomial(ROWS, SHARES, 20), 0.5)
    new = shares(np.array([rng.multinomial(ROWS, of) for of in newest]), 20.5)
    units, kinds = np.full(len(SHARES), 0.25), np.full(len(SHARES), Kind.MEAN)
    parts = [Part(slice(0, len(SHARES)), shares=together)]
    (found,) = score(known, new, units, kinds, parts, persistence=2)
    return found


def test_the_p_values_of_a_category_hold_their_level() -> None:
    rng = np.random.default_rng(0)
    found = [scores(rng, SHARES, SHARES) for _ in range(600)]
    for level in (0.05, 0.01):
        assert np.mean([s.p_value <= level for s in found]) < 1.5 * level
        assert np.mean([s.together <= level for s in found]) < 1.5 * level


@pytest.mark.parametrize(("field", "by"), [("p_value", 0.04), ("together", 0.03)])
def test_what_all_shares_come_to_is_seen_before_one_of_them_stands_out(
    field: str, by: float
) -> None:
    moved = SHARES + by * np.tile([1, -1], 4)
    rng = np.random.default_rng(1)
    pairs = []
    for seed in rng.integers(1 << 32, size=100):
        rngs = np.random.default_rng(seed), np.random.default_rng(seed)
        pairs.append(
            [
                getattr(scores(own, moved, moved, together=together), field) <= 0.01
                for own, together in zip(rngs, (True, False), strict=True)
            ]
        )
    of_all, of_strongest = np.mean(pairs, axis=0)
    assert of_all > 0.9
    assert of_strongest < of_all - 0.2


def test_one_wild_window_is_not_taken_for_two() -> None:
    moved = np.array([0.3, *np.full(7, 0.1)])
    found = scores(np.random.default_rng(2), moved, SHARES)
    assert found.p_value > 0.01
    assert found.together == 1.0
    assert scores(np.random.default_rng(2), SHARES, moved).p_value < 1e-6


def test_a_category_that_nobody_knew_counts() -> None:
    known = shares(np.tile([ROWS / 2, ROWS / 2, 0.0], (20, 1)), 0.5)
    new = shares(np.array([[ROWS * 0.45, ROWS * 0.45, ROWS * 0.1]]), 20.5)
    units, kinds = np.full(3, 0.25), np.full(3, Kind.MEAN)
    (found,) = score(known, new, units, kinds, [Part(slice(0, 3), shares=True)], persistence=2)
    assert found.p_value < 1e-6
    assert found.together == 1.0, "there is one window alone"


def test_shares_come_back_from_their_stabilised_values() -> None:
    counts = np.array([[0.0, 30.0, 370.0]])
    found = shares_from(shares_of(counts, counts.sum(axis=1)))
    np.testing.assert_allclose(found, counts / ROWS, atol=0.002)
