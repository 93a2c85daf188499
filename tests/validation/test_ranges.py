"""A learned range catches what is far out, and leaves room for seasons, tails and trends."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.validation.ranges import learn_range

N = 4_000
RNG = np.random.default_rng(0)
DAYS = np.arange(N) / 24
YEAR = np.sin(2 * np.pi * DAYS / 365)
TEMPERATURE = 12 + 12 * YEAR + RNG.normal(0, 4, N)

WRONG = {
    "a temperature in tenths of a degree": (TEMPERATURE, 250.0),
    "a temperature of 300": (TEMPERATURE, 300.0),
    "an age of 200": (RNG.integers(18, 81, N).astype(float), 200.0),
    "an age below zero": (RNG.integers(18, 81, N).astype(float), -1.0),
    "a pressure in another unit": (RNG.normal(1012, 8, N), 101.2),
    "a negative amount": (RNG.lognormal(3, 1, N), -0.5),
    "an amount in thousandths": (RNG.lognormal(3, 1, N), 20_000.0),
    "a share in percent": (np.clip(RNG.normal(0.7, 0.3, N), 0, 1), 70.0),
    "a percentage above 100": (np.clip(RNG.normal(70, 30, N), 0, 100), 101.0),
}
SOUND = {
    "a winter that was not seen": (TEMPERATURE[: N // 2], -15.0),
    "zero where a temperature came near it": (15 + 10 * YEAR + RNG.normal(0, 1, N), -5.0),
    "twice the largest amount": (RNG.lognormal(3, 1, N), None),
    "a share of one": (RNG.uniform(0, 0.97, N), 1.0),
    "another code": (RNG.integers(1, 6, N).astype(float), 12.0),
    "the further way of a trend": (np.arange(N) / N + RNG.normal(0, 0.01, N), 2.0),
    "a wild tail": (RNG.pareto(1.5, N), None),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_far_out_is_out_of_range(kind):
    values, wrong = WRONG[kind]
    low, high = learn_range(values)
    assert low <= values.min() <= values.max() <= high
    assert not low <= wrong <= high


@pytest.mark.parametrize("kind", SOUND)
def test_what_the_world_may_still_bring_is_in_range(kind):
    values, to_come = SOUND[kind]
    low, high = learn_range(values)
    assert low <= (2 * values.max() if to_come is None else to_come) <= high


@pytest.mark.parametrize("values", [[7.0], [0.0, 0.0], [5.0] * 100, [1e-12, 2e-12], [-3.0, 1e30]])
def test_few_or_equal_values_have_a_range_around_them(values):
    low, high = learn_range(np.array(values))
    assert low <= min(values) <= max(values) <= high
    assert low < high


def test_a_month_that_was_always_the_first_is_no_share():
    month = learn_range(np.ones(500))
    assert month.high > 3
    flag = learn_range(np.tile([0.0, 1.0], 250))
    assert flag.high == 1
