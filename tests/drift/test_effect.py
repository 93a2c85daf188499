"""The stability index is near zero under no change, whatever the sizes."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.drift.effect import history_effect, stability_index


def test_equal_shares_have_no_effect() -> None:
    assert stability_index(np.array([100, 200]), np.array([10, 20])) == 0.0


def test_an_empty_side_has_no_effect() -> None:
    assert stability_index(np.array([100, 200]), np.array([0, 0])) == 0.0


@pytest.mark.parametrize("n", [30, 300, 3000])
def test_chance_alone_is_taken_off(n: int) -> None:
    rng = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    reference = rng.multinomial(5000, shares)
    effects = [stability_index(reference, rng.multinomial(n, shares)) for _ in range(200)]
    assert np.mean(effects) < 5 / n


def test_a_quarter_sigma_is_small_and_one_sigma_is_large() -> None:
    rng = np.random.default_rng(0)
    edges = np.quantile(rng.normal(size=100_000), np.arange(1, 10) / 10)

    def counts(shift: float) -> np.ndarray:
        codes = np.searchsorted(edges, rng.normal(shift, 1, 100_000))
        return np.bincount(codes, minlength=10)

    assert stability_index(counts(0), counts(0.25)) == pytest.approx(0.06, abs=0.015)
    assert stability_index(counts(0), counts(1.0)) > 0.7


def test_a_trend_in_the_reference_is_its_usual_effect() -> None:
    codes = np.repeat([0, 1, 2, 3], 100)
    assert history_effect(codes, 4, 100) > 1
    assert history_effect(np.tile([0, 1, 2, 3], 100), 4, 100) < 0.01


def test_a_short_reference_says_nothing_of_what_is_usual() -> None:
    assert history_effect(np.repeat([0, 1], 100), 2, 100) == 0.0
    assert history_effect(np.zeros(0, dtype=int), 2, 100) == 0.0
