"""Training reaches back as far as old rows still teach."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.evaluation.span import SHORTEST, choose_span
from perennial.evaluation.yardstick import yardstick_losses
from perennial.spec import PipelineSpec

SPEC = PipelineSpec.model_validate(
    {"name": "toy", "task": "regression", "source": {"uri": "x"}, "target": "y"}
)


def stream(change: int | None) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    sign = np.where(np.arange(4000) < (change or 0), -1, 1)
    return pd.DataFrame({"x": x, "y": 3 * sign * np.sin(2 * x) + rng.normal(size=4000)})


def test_all_rows_are_kept_where_nothing_changed() -> None:
    choice = choose_span(4000, yardstick_losses(stream(None), SPEC), validation_rows=200)
    assert choice.rows == 4000


def test_rows_before_a_change_are_left_out() -> None:
    choice = choose_span(4000, yardstick_losses(stream(2700), SPEC), validation_rows=200)
    assert choice.rows <= 1000
    assert choice.tried[1000] < choice.tried[4000]


def test_few_rows_are_all_kept_without_a_fit() -> None:
    def never(low: int, high: int, end: int) -> np.ndarray:
        raise AssertionError

    assert choose_span(2 * SHORTEST - 1, never, validation_rows=50).rows == 2 * SHORTEST - 1


@pytest.mark.parametrize("rows", [1000, 4321, 50_000])
def test_no_row_is_asked_for_twice_or_from_the_future(rows: int) -> None:
    asked = []

    def losses(low: int, high: int, end: int) -> np.ndarray:
        asked.append((low, high, end))
        return np.ones(end - high)

    choice = choose_span(rows, losses, validation_rows=100)
    assert choice.rows == rows
    assert choice.fits == len(asked)
    assert all(0 <= low < high < end <= rows for low, high, end in asked)
