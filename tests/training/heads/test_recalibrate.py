from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.training.estimator import TrainingSet
from perennial.training.heads.recalibrate import PRIOR_ROWS, Recalibration, fit_recalibration
from perennial.training.heads.scores import to_output, to_scores


def fit(task: Any, y: Any, output: Any, metric: Any = "rmse") -> Recalibration:
    none = np.empty((len(y), 0))
    data = TrainingSet(task, metric, output.shape[1], none, none, y)
    return fit_recalibration(data, output, np.ones(len(y)))


def answers(rows: int, width: int = 1) -> Any:
    return np.random.default_rng(0).normal(size=(rows, width))


@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_a_line_is_found_as_far_as_the_rows_are_trusted(metric: Any) -> None:
    output = answers(480)
    head = fit("regression", 3 * output[:, 0] + 10, output, metric)
    trust = 480 / (480 + PRIOR_ROWS)
    assert head.scale == pytest.approx(1 + trust * 2, rel=1e-3)
    assert head.shift[0] == pytest.approx(trust * 10, rel=1e-3)


def test_wild_rows_do_not_bend_a_line_of_absolute_errors() -> None:
    output = answers(500)
    y = output[:, 0] + 1
    y[::10] += 1e6
    head = fit("regression", y, output, "mae")
    np.testing.assert_allclose(head.predict(None, None, output), output + 1, atol=0.3)


@given(st.floats(-1e6, 1e6, width=32), st.integers(2, 60))
def test_a_base_that_answers_all_alike_is_moved_and_not_stretched(value: float, rows: int) -> None:
    output = np.full((rows, 1), value, dtype=np.float32)
    head = fit("regression", np.random.default_rng(1).normal(size=rows), output)
    assert head.scale == 1


def test_log_odds_are_found() -> None:
    logits = answers(20_000)
    chances = to_output("binary", 0.5 * logits - 1)
    y = (np.random.default_rng(2).random(20_000) < chances[:, 0]).astype(np.int64)
    head = fit("binary", y, to_output("binary", logits))
    assert head.scale == pytest.approx(0.5, abs=0.05)
    assert head.shift[0] == pytest.approx(-1, abs=0.05)


def test_two_classes_are_mapped_alike_in_one_column_or_two() -> None:
    logits = answers(300)
    one = to_output("binary", logits)
    y = (np.random.default_rng(3).random(300) < one[:, 0]).astype(np.int64)
    narrow, wide = fit("binary", y, one), fit("multiclass", y, np.hstack([1 - one, one]))
    assert narrow.scale == pytest.approx(wide.scale, rel=1e-4)
    assert narrow.shift[0] == pytest.approx(wide.shift[1] - wide.shift[0], abs=1e-4)


@pytest.mark.parametrize("classes", [2, 3, 40])
def test_shares_of_classes_are_found(classes: int) -> None:
    output = to_output("multiclass", answers(4000, classes))
    wanted = to_output("multiclass", np.log(output) + np.linspace(0, 2, classes))
    rng = np.random.default_rng(3)
    y = np.array([rng.choice(classes, p=row) for row in wanted])
    mended = fit("multiclass", y, output).predict(None, None, output)
    np.testing.assert_allclose(mended.mean(axis=0), wanted.mean(axis=0), atol=0.03)


@given(st.lists(st.sampled_from([0.0, 1e-9, 0.3, 1 - 1e-7, 1.0]), min_size=1, max_size=40))
def test_any_chances_and_any_classes_give_chances(values: list[float]) -> None:
    output = np.array(values, dtype=np.float32)[:, None]
    for y in (np.zeros(len(values), np.int64), np.arange(len(values)) % 2):
        mended = fit("binary", y, output).predict(None, None, output)
        assert ((mended >= 0) & (mended <= 1)).all()


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=20))
def test_scores_and_outputs_are_each_other_undone(values: list[float]) -> None:
    scores = np.clip(np.array(values)[:, None], -12, 12)
    np.testing.assert_allclose(
        to_scores("binary", to_output("binary", scores)), scores, rtol=1e-6, atol=1e-6
    )
