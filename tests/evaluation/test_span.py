"""Training reaches back as far as old rows still teach."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.evaluation.span import SHORTEST, Losses, choose_span
from perennial.evaluation.yardstick import yardstick_losses
from perennial.spec import PipelineSpec

SPEC = PipelineSpec.model_validate(
    {"name": "toy", "task": "regression", "source": {"uri": "x"}, "target": "y"}
)


def of_a_line(slope: np.ndarray, noise: float = 1.0) -> Losses:
    """Losses of least squares on a line whose slope changes from row to row."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=len(slope))
    y = slope * x + rng.normal(0, noise, len(slope))

    def losses(low: int, high: int, end: int) -> np.ndarray:
        fitted = x[low:high] @ y[low:high] / (x[low:high] @ x[low:high])
        return (y[high:end] - fitted * x[high:end]) ** 2

    return losses


def test_a_span_slides_where_nothing_speaks_for_another() -> None:
    choice = choose_span(
        4000, lambda low, high, end: np.ones(end - high), usual=1000, validation_rows=400
    )
    assert choice.rows == 1000
    assert set(choice.tried) == {4000, 1000, 500, 250, 125}


def test_all_rows_are_taken_where_more_are_better() -> None:
    losses = of_a_line(np.full(4000, 0.5), noise=5.0)
    assert choose_span(4000, losses, usual=300, validation_rows=1000).rows == 4000


def test_rows_before_a_change_are_left_out() -> None:
    losses = of_a_line(np.where(np.arange(4000) < 3300, -3.0, 3.0))
    assert choose_span(4000, losses, usual=1500, validation_rows=300).rows in (187, 375)


def test_there_is_nothing_to_choose_before_there_is_more_than_usual() -> None:
    def never(low: int, high: int, end: int) -> np.ndarray:
        raise AssertionError

    assert choose_span(1000, never, usual=1000, validation_rows=50).rows == 1000
    assert choose_span(2 * SHORTEST - 1, never, usual=50, validation_rows=50).rows < 2 * SHORTEST


@pytest.mark.parametrize("rows", [200, 1000, 4321])
def test_nothing_is_asked_of_the_future(rows: int) -> None:
    asked = []

    def losses(low: int, high: int, end: int) -> np.ndarray:
        asked.append((low, high, end))
        return np.ones(end - high)

    choose_span(rows, losses, usual=150, validation_rows=10_000)
    assert len(asked) <= 5
    assert all(0 <= low < high < end == rows for low, high, end in asked)


def test_the_yardstick_scores_a_span_on_the_rows_behind_it() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.integers(0, 2, 120)})
    frame["y"] = 4.0 * frame["x"]
    found = yardstick_losses(frame, SPEC)(0, 100, 120)
    assert found.shape == (20,)
    assert found.max() < 0.1
