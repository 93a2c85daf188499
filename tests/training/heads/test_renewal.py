"""A renewal is a model of the newest rows alone, whatever its base says."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.training.estimator import TrainingSet
from perennial.training.heads import fit_heads
from tests.training.heads.bases import make_base


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_a_renewal_does_not_look_at_the_base(task: str) -> None:
    base = make_base(task)
    _, renewal, _ = fit_heads(base.data, base.output)
    answers = renewal.predict(base.numeric, base.categorical, base.output)
    other = np.roll(base.output, 1, axis=0)
    np.testing.assert_array_equal(renewal.predict(base.numeric, base.categorical, other), answers)
    assert np.ptp(answers[:, 0]) > 0
    if task != "regression":
        assert ((answers > 0) & (answers < 1)).all()


@pytest.mark.parametrize("rows", [1, 7, 400])
@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_renewal_of_one_class_alone_leaves_the_others_a_chance(task: str, rows: int) -> None:
    base = make_base(task)
    first = np.flatnonzero(base.data.y == 0)[:rows]
    _, renewal, _ = fit_heads(base.data.take(first), base.output[first])
    output = renewal.predict(base.numeric, base.categorical, base.output)
    assert ((output > 0) & (output < 1)).all()
    of_first = 1 - output[:, 0] if task == "binary" else output[:, 0]
    assert of_first.mean() >= 0.5


def test_a_renewal_follows_the_newest_rows_where_most_say_the_opposite() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 1)).astype(np.float32)
    sign = np.where(np.arange(1000) < 600, -1.0, 1.0)
    names = np.empty((1000, 0), dtype=object)
    data = TrainingSet("regression", "rmse", 1, x, names, sign * x[:, 0])
    _, renewal, correction = fit_heads(data, np.zeros_like(x))
    slopes = [
        np.polyfit(x[:, 0], head.predict(x, names, np.zeros_like(x))[:, 0], 1)[0]
        for head in (renewal, correction)
    ]
    assert slopes[0] > 0.1
    assert slopes[1] < 0, "the other view, for which all rows count alike"
