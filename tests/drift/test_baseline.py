"""The next window is predicted with the spread that the windows before it had."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.drift.baseline import Series, predict

ROWS = 100


def series(values: np.ndarray) -> Series:
    return Series(values, np.full(values.shape, float(ROWS)), np.arange(len(values)) + 0.5)


def p_values(values: np.ndarray, new: np.ndarray, at: float) -> np.ndarray:
    width = values.shape[1]
    prediction = predict(
        series(values),
        np.ones(width),
        np.zeros(width, dtype=int),
        at=at,
        rows=np.full(width, float(ROWS)),
    )
    return prediction.score(new)[1]


@pytest.mark.parametrize("between", [0.0, 0.5])
def test_its_p_values_hold_their_level(between: float) -> None:
    rng = np.random.default_rng(0)
    deviation = np.sqrt(1 / ROWS + between**2)
    found = np.concatenate(
        [
            p_values(rng.normal(0, deviation, (12, 10)), rng.normal(0, deviation, 10), 12.5)
            for _ in range(300)
        ]
    )
    for level in (0.05, 0.01):
        assert level / 3 < (found <= level).mean() < 2 * level


def test_like_series_lend_each_other_certainty() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 0.1, (12, 30))
    new = np.full(30, 0.45)
    together = p_values(values, new, 12.5)
    alone = [p_values(values[:, k : k + 1], new[:1], 12.5)[0] for k in range(30)]
    assert np.median(together) < np.median(alone) / 2


def test_a_line_goes_on() -> None:
    rng = np.random.default_rng(2)
    at = np.arange(12)[:, None] + 0.5
    values = 0.2 * at + rng.normal(0, 0.1, (12, 5))
    assert p_values(values, np.full(5, 0.2 * 14.5), 14.5).min() > 0.01
    assert p_values(values, values.mean(axis=0), 14.5).max() < 1e-3


def test_a_wave_is_no_line() -> None:
    at = np.arange(12)[:, None] + 0.5
    values = np.sin(2 * np.pi * at / 12 + np.linspace(0, 6, 8))
    assert p_values(values, np.sin(2 * np.pi * 16.5 / 12 + np.linspace(0, 6, 8)), 16.5).min() > 1e-3


def test_what_wanders_is_predicted_from_where_it_was_last() -> None:
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(0, 1, (24, 40)), axis=0)
    found = p_values(walk[:12], walk[14], 14.5)
    assert (found < 0.001).mean() < 0.1
    assert p_values(walk[:12], walk[11] + 30, 14.5).max() < 0.001


def test_among_many_series_chance_is_not_taken_for_a_trend() -> None:
    """Of 200 independent series twenty would look like lines, and twenty as if they wandered."""
    rng = np.random.default_rng(4)
    values, at = rng.normal(0, 0.1, (12, 200)), 30.0
    kinds, rows = np.zeros(200, dtype=int), np.full(200, float(ROWS))
    wide = predict(series(values), np.ones(200), kinds, at=at, rows=rows).stderr
    assert (wide > 1.5 * np.median(wide)).mean() < 0.02


def test_a_few_that_trend_are_found_among_many() -> None:
    rng = np.random.default_rng(5)
    values = rng.normal(0, 0.1, (12, 100))
    values[:, :3] += 0.1 * np.arange(12)[:, None]
    kinds, rows = np.zeros(100, dtype=int), np.full(100, float(ROWS))
    mean = predict(series(values), np.ones(100), kinds, at=14.5, rows=rows).mean
    assert mean[:3] == pytest.approx(1.4, abs=0.2)
    assert np.abs(mean[3:]).max() < 0.4


def test_where_nothing_is_known_nothing_is_found() -> None:
    known = Series(np.zeros((3, 1)), np.zeros((3, 1)), np.arange(3.0))
    prediction = predict(known, np.ones(1), np.zeros(1, dtype=int), at=3, rows=np.ones(1))
    assert prediction.score(np.array([99.0]))[1] == [1.0]
