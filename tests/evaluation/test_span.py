"""Training reaches back as far as old rows still teach."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.evaluation.span import SHORTEST, Losses, choose_span

BEHIND = 300


def of_a_line(slope: np.ndarray, noise: float = 1.0) -> Losses:
    """Losses of least squares on a line whose slope changes from row to row, on its last rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=len(slope))
    y = slope * x + rng.normal(0, noise, len(slope))
    high = len(x) - BEHIND

    def losses(span: int) -> np.ndarray:
        low = high - span
        fitted = x[low:high] @ y[low:high] / (x[low:high] @ x[low:high])
        return (y[high:] - fitted * x[high:]) ** 2

    return losses


def test_all_rows_are_taken_where_nothing_speaks_for_fewer() -> None:
    choice = choose_span(4000, lambda span: np.ones(100), usual=1000)
    assert choice.rows == 4000
    assert set(choice.tried) == {4000, 1000}


def test_all_rows_are_taken_where_more_are_better() -> None:
    losses = of_a_line(np.full(4000 + BEHIND, 0.5), noise=5.0)
    assert choose_span(4000, losses, usual=300).rows == 4000


def test_rows_before_a_change_are_left_out() -> None:
    losses = of_a_line(np.where(np.arange(4000 + BEHIND) < 2800, -3.0, 3.0))
    assert choose_span(4000, losses, usual=1000).rows == 1000


def test_a_span_that_cannot_be_fitted_is_not_chosen() -> None:
    choice = choose_span(4000, lambda span: None if span < 4000 else np.ones(9), usual=1000)
    assert choice.rows == 4000
    assert set(choice.tried) == {4000}


def test_there_is_nothing_to_choose_before_there_is_more_than_usual() -> None:
    def never(span: int) -> np.ndarray:
        raise AssertionError

    assert choose_span(1000, never, usual=1000).rows == 1000
    assert choose_span(2 * SHORTEST - 1, never, usual=50).rows == 2 * SHORTEST - 1


@pytest.mark.parametrize("rows", [200, 1000, 4321])
def test_no_more_rows_are_asked_for_than_there_are(rows: int) -> None:
    asked: list[int] = []

    def losses(span: int) -> np.ndarray:
        asked.append(span)
        return np.ones(5)

    choose_span(rows, losses, usual=150)
    assert asked == [rows, 150]
