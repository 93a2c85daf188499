"""Training reaches back as far as old rows still teach."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.evaluation.span import (
    GLANCE,
    LOOK,
    SHORTEST,
    Losses,
    TrainingSpan,
    choose_span,
    rows_since_rise,
)

BEHIND = 300


def of_a_line(slope: np.ndarray, noise: float = 1.0) -> Losses:
    """Losses of least squares on a line whose slope changes from row to row, on its last rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=len(slope))
    y = slope * x + rng.normal(0, noise, len(slope))
    high = len(x) - BEHIND

    def losses(span: TrainingSpan, rounds: int) -> np.ndarray:
        low = high - span.rows
        ages = np.arange(span.rows)[::-1]
        weights = np.ones(span.rows) if span.half_life is None else 0.5 ** (ages / span.half_life)
        fitted = (weights * x[low:high]) @ y[low:high] / ((weights * x[low:high]) @ x[low:high])
        return (y[high:] - fitted * x[high:]) ** 2

    return losses


def test_all_rows_are_taken_where_nothing_speaks_for_fewer() -> None:
    choice = choose_span(4000, lambda span, rounds: np.ones(100), usual=1000, risen=500)
    assert choice.span == TrainingSpan(4000)
    assert set(choice.tried) == {TrainingSpan(4000), TrainingSpan(1000), TrainingSpan(500)}


def test_all_rows_are_taken_where_more_are_better() -> None:
    losses = of_a_line(np.full(4000 + BEHIND, 0.5), noise=5.0)
    assert choose_span(4000, losses, usual=300).span == TrainingSpan(4000)


def test_rows_before_a_change_are_left_out() -> None:
    losses = of_a_line(np.where(np.arange(4000 + BEHIND) < 2800, -3.0, 3.0))
    assert choose_span(4000, losses, usual=1000).span == TrainingSpan(1000)


def test_rows_since_the_loss_has_risen_are_taken_where_more_still_hold_old_ones() -> None:
    losses = of_a_line(np.where(np.arange(4000 + BEHIND) < 3500, -3.0, 3.0))
    assert choose_span(4000, losses, usual=1000, risen=500).span == TrainingSpan(500)


EVERYTHING, FEW, TWICE = TrainingSpan(4000), TrainingSpan(1000), TrainingSpan(2000)
AGED = TrainingSpan(4000, half_life=1000)


@pytest.mark.parametrize("best", [TWICE, AGED])
def test_what_lies_between_is_taken_where_it_is_better_than_the_newest(best: TrainingSpan) -> None:
    found = {EVERYTHING: 4.0, FEW: 2.0, TWICE: 3.0, AGED: 3.0, best: 1.0}
    choice = choose_span(4000, lambda span, rounds: np.full(100, found[span]), usual=1000)
    assert choice.span == best
    assert choice.tried == found


def test_a_span_that_cannot_be_fitted_is_not_chosen() -> None:
    choice = choose_span(
        4000, lambda span, rounds: None if span.rows < 4000 else np.ones(9), usual=1000, risen=400
    )
    assert choice.span == TrainingSpan(4000)
    assert set(choice.tried) == {TrainingSpan(4000)}


def test_there_is_nothing_to_choose_before_there_is_clearly_more_than_usual() -> None:
    def never(span: TrainingSpan, rounds: int) -> np.ndarray:
        raise AssertionError

    assert choose_span(1000, never, usual=950).span == TrainingSpan(1000)
    assert choose_span(1000, never, usual=SHORTEST - 1).span == TrainingSpan(1000)


def test_no_other_is_tried_once_the_time_is_over() -> None:
    turns = iter([True, False])
    losses = of_a_line(np.where(np.arange(4000 + BEHIND) < 2800, -3.0, 3.0))
    choice = choose_span(4000, losses, usual=1000, in_time=lambda: next(turns))
    assert choice.span == TrainingSpan(4000)
    assert set(choice.tried) == {TrainingSpan(4000)}


@pytest.mark.parametrize("rows", [300, 1000, 4321])
def test_no_more_rows_are_asked_for_than_there_are(rows: int) -> None:
    asked: list[TrainingSpan] = []

    def losses(span: TrainingSpan, rounds: int) -> np.ndarray:
        asked.append(span)
        return np.ones(5)

    choose_span(rows, losses, usual=250, risen=5000)
    assert asked == [TrainingSpan(rows), TrainingSpan(250)]


def test_a_span_that_is_behind_after_a_glance_is_not_grown_on() -> None:
    asked: list[tuple[int, int]] = []

    def losses(span: TrainingSpan, rounds: int) -> np.ndarray:
        asked.append((span.rows, rounds))
        return np.full(100, {1000: 3.0, 500: 1.9}.get(span.rows, 2.0))

    choose_span(4000, losses, usual=1000, risen=500)
    glanced = [(4000, GLANCE), (500, GLANCE), (1000, GLANCE)]
    assert asked[:5] == [*glanced, (4000, LOOK), (500, LOOK)]
    assert (1000, LOOK) not in asked


def test_a_span_that_is_ahead_by_chance_after_a_glance_is_not_grown_on() -> None:
    asked: list[tuple[int, int]] = []
    noise = np.random.default_rng(0).normal(size=100)
    shorter = 2.0 + noise - noise.mean() - 0.01

    def losses(span: TrainingSpan, rounds: int) -> np.ndarray:
        asked.append((span.rows, rounds))
        return shorter if span.rows == 1000 else np.full(100, 2.0)

    assert choose_span(4000, losses, usual=1000).span == TrainingSpan(4000)
    assert asked == [(4000, GLANCE), (1000, GLANCE)]


@pytest.mark.parametrize("since", [400, 2000, 5000])
def test_a_rise_of_the_loss_is_found(since: int) -> None:
    losses = np.random.default_rng(0).exponential(size=6000)
    losses[-since:] *= 2
    found = rows_since_rise(losses)
    assert found is not None
    assert abs(found - since) <= 200


def test_a_fall_is_no_rise_and_neither_is_noise() -> None:
    rng = np.random.default_rng(1)
    falls = rng.exponential(size=6000) * np.where(np.arange(6000) < 3000, 2, 1)
    assert rows_since_rise(falls) is None
    found = [rows_since_rise(rng.exponential(size=3000)) for _ in range(200)]
    assert sum(one is not None for one in found) <= 20


def test_a_step_without_any_noise_is_a_rise() -> None:
    losses = np.where(np.arange(1200) < 600, 1.0, 2.0)
    assert rows_since_rise(losses) == 600


def test_of_few_rows_there_is_nothing_to_say() -> None:
    assert rows_since_rise(np.arange(100.0)) is None
    assert rows_since_rise(np.empty(0)) is None
