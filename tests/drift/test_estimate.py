"""The loss of rows without labels is close to the truth while P(y|x) stays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.drift.estimate import Answered, estimate_loss, fit_loss_estimator
from perennial.drift.loss import LossVerdict, promise
from perennial.evaluation.metrics import row_losses, score
from perennial.packaging.signature import Feature
from perennial.spec import MetricName, PipelineSpec

X = (Feature(name="x", kind="numeric"),)


def binary(n: int, seed: int, centre: float) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Rows, an overconfident champion's output, and the truth."""
    rng = np.random.default_rng(seed)
    x = rng.normal(centre, 1, n)
    y = (rng.random(n) < 1 / (1 + np.exp(-x))).astype(int)
    return pd.DataFrame({"x": x}), 1 / (1 + np.exp(-2 * x))[:, None], y


@pytest.mark.parametrize("metric", ["auc", "accuracy", "balanced_accuracy", "log_loss"])
def test_a_champion_that_knows_how_sure_it_may_be_tells_its_loss(metric: MetricName) -> None:
    estimator = fit_loss_estimator("binary", metric, X, *binary(4000, 0, 0))
    for centre in (0.0, 2.0):
        frame, output, y = binary(20_000, 1, centre)
        truth = score(metric, y, output)
        loss = truth if metric == "log_loss" else 1 - truth
        assert estimator.estimate(frame, output) == pytest.approx(loss, rel=0.1)


def test_several_classes_are_calibrated_each() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (8000, 3))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) > rng.random(8000)[:, None]).argmax(axis=1)
    frame = pd.DataFrame({"x": logits[:, 0]})
    estimator = fit_loss_estimator("multiclass", "accuracy", X, frame[:4000], p[:4000], y[:4000])
    truth = score("accuracy", y[4000:], p[4000:])
    assert estimator.estimate(frame[4000:], p[4000:]) == pytest.approx(1 - truth, abs=0.03)


@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_rows_like_those_it_was_wrong_on_cost_as_much(metric: MetricName) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 8000)
    y = rng.normal(0, 0.1 + x)
    output = np.zeros((8000, 1))
    frame = pd.DataFrame({"x": x})
    estimator = fit_loss_estimator("regression", metric, X, frame, output, y)
    hard = x > 0.8
    truth = row_losses("regression", metric, y[hard], output[hard]).mean()
    assert estimator.estimate(frame[hard], output[hard]) == pytest.approx(truth, rel=0.1)


def test_one_class_and_missing_columns_are_no_obstacle() -> None:
    frame = pd.DataFrame({"x": [np.nan] * 50})
    output, zeros = np.full((50, 1), 0.1), np.zeros(50)
    sure = fit_loss_estimator("binary", "accuracy", X, frame, output, zeros.astype(int))
    assert sure.estimate(frame, output) < 0.05
    learned = fit_loss_estimator("regression", "mae", X, frame, output, zeros)
    assert learned.estimate(frame, output) == pytest.approx(0.1)
    assert np.isnan(learned.estimate(frame[:0], output[:0]))


def test_nothing_is_learned_from_no_rows() -> None:
    with pytest.raises(ValueError, match="no rows"):
        fit_loss_estimator(
            "regression", "mae", X, pd.DataFrame({"x": []}), np.zeros((0, 1)), np.zeros(0)
        )


def uneven(n: int, seed: int, low: float) -> Answered:
    """Rows with x from ``low`` to 1, the larger the harder, and an answer that is always 0."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(low, 1, n)
    return Answered(pd.DataFrame({"x": x}), np.zeros((n, 1)), rng.normal(0, 0.1 + x))


def estimated(known: Answered, window: Answered) -> LossVerdict | None:
    spec = PipelineSpec.model_validate(
        {"name": "n", "task": "regression", "metric": "rmse", "source": {"uri": "x"}, "target": "y"}
    )
    promised = promise("regression", "rmse", known.y, known.output)
    return estimate_loss("w", promised, known, window.frame, window.output, features=X, spec=spec)


def test_harder_rows_are_held_against_the_promise_before_their_labels_come() -> None:
    known = uneven(2000, 0, 0.0)
    hard, usual = (estimated(known, uneven(500, 1, low)) for low in (0.8, 0.0))
    assert hard is not None
    assert usual is not None
    assert hard.risen
    assert not usual.risen
    assert hard.p_value < 0.02 < usual.p_value


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(60):
        window = uneven(200, 1000 + seed, 0.3)
        found = estimated(uneven(600, seed, 0.0), window)
        assert found is not None
        truth = float(np.square(window.y).mean()) / found.promise.mean
        held += found.low <= truth <= found.high
    assert held >= 54


def test_too_few_rows_are_no_ground_for_an_estimate() -> None:
    assert estimated(uneven(79, 0, 0.0), uneven(50, 1, 0.0)) is None
    assert estimated(uneven(500, 0, 0.0), uneven(0, 1, 0.0)) is None
