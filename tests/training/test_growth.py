"""Boosted trees that grow on where fewer have ended."""

from __future__ import annotations

import pytest

from perennial.training.hist_gradient_boosting import Growth
from perennial.training.train import training_set
from tests.training.frames import TASKS, make_frame, make_spec


@pytest.mark.parametrize("task", TASKS)
def test_trees_grown_in_two_steps_are_those_grown_at_once(task: str) -> None:
    data = training_set(make_frame(task), make_spec(task))
    growth = Growth(data, seed=3)
    few = growth.until(5)
    kept = few.to_source()
    many = growth.until(20)
    assert many.to_source() == Growth(data, seed=3).until(20).to_source()
    assert few.to_source() == kept == Growth(data, seed=3).until(5).to_source()
    assert few.rounds == 5
    assert many.rounds == 20


def test_a_grown_model_does_not_hold_the_rows_it_grew_on() -> None:
    spec = make_spec("binary")
    sizes = [
        len(
            Growth(training_set(make_frame("binary", rows=rows), spec), seed=0).until(5).to_source()
        )
        for rows in (300, 6_000)
    ]
    assert sizes[1] < 1.5 * sizes[0]
