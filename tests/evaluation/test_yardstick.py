"""The yardstick model takes columns as they come."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.evaluation.yardstick import (
    Encoder,
    encode_target,
    fit_yardstick,
    raw_features,
    target_classes,
)
from perennial.spec import PipelineSpec


def spec(task: str = "regression", **more: object) -> PipelineSpec:
    return PipelineSpec.model_validate(
        {"name": "toy", "task": task, "source": {"uri": "x"}, "target": "y", **more}
    )


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "ts": pd.date_range("2024-01-01", periods=200, freq="h"),
            "seen": pd.date_range("2024-01-01", periods=200, freq="h", tz="UTC"),
            "text": rng.choice(["b", "a", None], 200),
            "empty": None,
            "gaps": np.where(rng.random(200) < 0.3, np.nan, 1.0),
            "leak": 1,
            "y": rng.integers(0, 3, 200),
        }
    )


def test_target_time_and_ignored_columns_are_no_features() -> None:
    features = raw_features(frame(), spec(time="ts", ignore=["leak"]))
    assert [f.name for f in features] == ["seen", "text", "empty", "gaps"]


def test_texts_become_ordinals_and_unseen_ones_are_missing() -> None:
    features = raw_features(frame()[["text", "y"]], spec())
    encoder = Encoder.of(frame(), features)
    encoded = encoder.encode(pd.DataFrame({"text": ["b", "a", "z", None]}))
    np.testing.assert_array_equal(encoded, np.array([[1], [0], [np.nan], [np.nan]], np.float32))


@pytest.mark.parametrize(("task", "width"), [("regression", 1), ("multiclass", 3)])
def test_an_answer_has_the_shape_of_a_packaged_graph(task: str, width: int) -> None:
    declared = spec(task, time="ts")
    classes = () if task == "regression" else target_classes(frame()["y"])
    output = fit_yardstick(frame(), declared, classes).predict(frame())
    assert output.shape == (200, width)
    assert np.isfinite(output).all()


def test_a_class_that_comes_later_has_probability_zero() -> None:
    early = frame()[frame()["y"] > 0]
    output = fit_yardstick(early, spec("multiclass", time="ts"), ("0", "1", "2")).predict(frame())
    assert (output[:, 0] == 0).all()
    np.testing.assert_allclose(output.sum(axis=1), 1)


def test_one_class_only_is_answered_by_its_share() -> None:
    ones = frame().assign(y=1)
    output = fit_yardstick(ones, spec("binary", time="ts"), ("0", "1")).predict(ones)
    assert (output == 1.0).all()


def test_classes_are_sorted_as_numbers_where_they_are() -> None:
    assert target_classes(pd.Series([10, 9.0, None])) == ("9", "10")
    assert target_classes(pd.Series(["b", "a"])) == ("a", "b")


def test_labels_become_indices() -> None:
    y = encode_target(pd.Series([True, False, True]), spec("binary"), ("false", "true"))
    assert y.tolist() == [1, 0, 1]
