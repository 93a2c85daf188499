"""Heads and their base, mixed at given shares, are one graph that answers as its parts do."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.evaluation.mixing import Mixture
from perennial.packaging.parity import check_parity
from perennial.training.estimator import TrainingSet
from perennial.training.heads import fit_heads, mix_heads
from tests.training.heads.bases import make_base


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
@pytest.mark.parametrize(
    "shares", [(0.3, 0.0, 0.5), (0.0, 0.0, 1.0), (0.7, 0.0, 0.0), (0.2, 0.3, 0.4), (0.0, 1.0, 0.0)]
)
def test_the_graph_answers_as_the_mixture(task: str, shares: tuple[float, float]) -> None:
    base = make_base(task)
    heads = fit_heads(base.data, base.output)
    mixed = mix_heads(Mixture(recalibrate=shares[0], renew=shares[1], correct=shares[2]), heads)
    model = mixed.compose(base.model, base.signature)

    def source(numeric, categorical):
        return mixed.predict(numeric, categorical, base.answers(numeric, categorical))

    inputs = base.numeric, base.categorical
    assert check_parity(model, base.signature, source, *inputs).ok


def test_answers_lie_between_those_of_base_and_heads() -> None:
    base = make_base("multiclass")
    heads = fit_heads(base.data, base.output)
    mixed = mix_heads(Mixture(recalibrate=0.4, renew=0.2, correct=0.2), heads)
    output = mixed.predict(base.numeric, base.categorical, base.output)
    parts = [base.output, *(h.predict(base.numeric, base.categorical, base.output) for h in heads)]
    assert (output >= np.min(parts, axis=0) - 1e-6).all()
    assert (output <= np.max(parts, axis=0) + 1e-6).all()
    np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-5)


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


def test_together_they_are_fitted_as_each_alone_would_be() -> None:
    from perennial.training.heads import fit_head

    base = make_base("binary")
    recalibration, _, correction = fit_heads(base.data, base.output)
    for head, depth in ((recalibration, "recalibrate"), (correction, "correct")):
        alone = fit_head(depth, base.data, base.output)
        args = (base.numeric, base.categorical, base.output)
        np.testing.assert_array_equal(head.predict(*args), alone.predict(*args))
