"""Every family takes every kind of table, and its packaged graph answers as it does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perennial.evaluation.metrics import score
from perennial.packaging.export import export
from perennial.packaging.parity import check_parity
from perennial.packaging.predictor import encode_frame
from perennial.packaging.signature import Signature
from perennial.training.columns import encode_target, infer_features
from perennial.training.estimator import TrainingSet, both, load_estimator
from tests.training.frames import COLUMNS, ESTIMATORS, TASKS, make_frame, make_spec


def prepare(task: str, frame: Any) -> tuple[Signature, TrainingSet]:
    spec = make_spec(task)
    y, classes = encode_target(frame["y"], spec.task)
    features = infer_features(frame, spec)
    signature = Signature(task=spec.task, target="y", features=features, classes=classes)
    numeric, categorical = both(*encode_frame(signature, frame))
    data = TrainingSet(
        task=spec.task,
        metric=spec.metric,
        width=signature.width,
        numeric=numeric,
        categorical=categorical,
        y=y,
    )
    return signature, data


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_packaged_graph_answers_as_its_source(name: Any, task: str, columns: str) -> None:
    frame = make_frame(task, columns)
    signature, data = prepare(task, frame)
    model = load_estimator(name).fit(data, seed=1, rounds=6)
    packaged = export(model, signature)
    inputs = encode_frame(signature, frame)
    parity = check_parity(packaged, signature, model.predict, *inputs)
    assert parity.ok
    assert parity.max_relative < 1e-4
    output = model.predict(*inputs)
    assert output.shape == (len(frame), signature.width)
    assert np.isfinite(output).all()
    if task == "multiclass":
        np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_family_learns(name: Any, task: str) -> None:
    _, data = prepare(task, make_frame(task, "numeric", rows=600))
    older, newer = data.take(slice(0, 500)), data.take(slice(500, None))
    model = load_estimator(name).fit(older, seed=0)
    output = model.predict(newer.numeric, newer.categorical)
    value = score(data.metric, newer.y, output)
    if task == "regression":
        assert value < 0.75 * newer.y.std()
    else:
        assert value > {"binary": 0.85, "multiclass": 0.65}[task]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_class_of_few_rows_at_the_end_is_learned_from(name: Any) -> None:
    frame = make_frame("multiclass", rows=120)
    frame.loc[frame.index[-3:], "y"] = "new"
    signature, data = prepare("multiclass", frame)
    model = load_estimator(name).fit(data, seed=0)
    assert signature.classes == ("high", "low", "middle", "new")
    assert model.predict(data.numeric, data.categorical).shape == (120, 4)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_two_classes_may_be_declared_multiclass(name: Any) -> None:
    frame = make_frame("binary")
    signature, data = prepare("multiclass", frame)
    model = load_estimator(name).fit(data, seed=0, rounds=5)
    inputs = encode_frame(signature, frame)
    assert signature.width == 2
    assert check_parity(export(model, signature), signature, model.predict, *inputs).ok


@pytest.mark.parametrize("name", ESTIMATORS)
def test_no_rows_give_no_answers(name: Any) -> None:
    _, data = prepare("binary", make_frame("binary"))
    model = load_estimator(name).fit(data, seed=0, rounds=2)
    assert model.predict(data.numeric[:0], data.categorical[:0]).shape == (0, 1)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_constant_target_is_predicted(name: Any) -> None:
    frame = make_frame("regression").assign(y=5.0)
    _, data = prepare("regression", frame)
    output = (
        load_estimator(name).fit(data, seed=0, rounds=5).predict(data.numeric, data.categorical)
    )
    assert np.abs(output - 5.0).max() < 2.0


def test_a_column_constant_in_training_says_nothing_later() -> None:
    frame = make_frame("regression", "constant column")
    signature, data = prepare("regression", frame)
    model = load_estimator("mlp").fit(data, seed=0, rounds=2)
    moved = encode_frame(signature, frame.assign(same=9_999.0))
    np.testing.assert_array_equal(
        model.predict(*moved), model.predict(data.numeric, data.categorical)
    )
