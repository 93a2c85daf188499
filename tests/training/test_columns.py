from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import TrainingError
from perennial.evaluation.targets import encode_labels
from perennial.packaging.predictor import encode_frame
from perennial.packaging.signature import Signature, canonical_label
from perennial.training.columns import (
    encode_target,
    infer_context,
    infer_features,
    sort_labels,
)
from tests.training.frames import make_spec

FRAME = pd.DataFrame(
    {
        "ts": pd.date_range("2026-01-01", periods=3),
        "y": [1.0, 2.0, 3.0],
        "whole": [1, 2, 3],
        "truth": [True, False, True],
        "maybe": pd.Series([True, None, False], dtype=object),
        "nullable": pd.array([1, None, 3], dtype="Int64"),
        "money": [Decimal("1.5"), None, Decimal("2.5")],
        "empty": pd.Series([None] * 3, dtype=object),
        "text": ["a", None, "b"],
        "either": ["a", 1, 2.5],
        "kind": pd.Categorical([1, 2, 1]),
        "when": pd.date_range("2020-01-01", periods=3),
        "day": [dt.date(2020, 1, 1)] * 3,
        "note": ["x", "y", "z"],
    }
)
KINDS = {
    "whole": "numeric",
    "truth": "numeric",
    "maybe": "numeric",
    "nullable": "numeric",
    "money": "numeric",
    "empty": "numeric",
    "text": "categorical",
    "either": "categorical",
    "kind": "categorical",
}


def test_features_are_what_is_left_beside_target_time_and_ignored() -> None:
    spec = make_spec("regression").model_copy(update={"ignore": ("note",)})
    assert {f.name: f.kind for f in infer_features(FRAME, spec)} == KINDS
    assert infer_context(FRAME, spec) == ("ts", "note", "when", "day")


def test_inferred_features_are_encoded_without_complaint() -> None:
    spec = make_spec("regression")
    signature = Signature(task="regression", target="y", features=infer_features(FRAME, spec))
    numeric, categorical = encode_frame(signature, FRAME)
    assert numeric is not None
    assert categorical is not None
    assert numeric.dtype == np.float32
    assert all(type(value) is str for value in categorical.ravel())


def test_a_frame_without_features_is_refused() -> None:
    with pytest.raises(TrainingError, match="there is no feature"):
        infer_features(FRAME[["ts", "y", "when"]], make_spec("regression"))


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        ([], "regression", "no labelled rows"),
        ([1, None], "binary", "1 of 2 rows have no label"),
        ([1, 1.0, 1], "binary", "one class only: every label in 'y' is '1'"),
        ([1, 2, 3], "binary", "3 classes .1, 2, 3. but the task is binary"),
        (["a", "b"], "regression", "'a', which is no number"),
        ([1.0, np.inf], "regression", "infinite"),
    ],
)
def test_targets_to_learn_nothing_from_are_refused(y: list[Any], task: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        encode_target(pd.Series(y, name="y", dtype=object), task)


@pytest.mark.parametrize(
    ("y", "classes", "codes"),
    [
        ([True, False, True], ("false", "true"), [1, 0, 1]),
        ([10, 9, 10.0], ("9", "10"), [1, 0, 1]),
        ([1.0, 0.0], ("0", "1"), [1, 0]),
        (["10", "9"], ("9", "10"), [1, 0]),
        (["yes", "no"], ("no", "yes"), [1, 0]),
        ([0.5, -1], ("-1", "0.5"), [1, 0]),
    ],
)
def test_classes_are_sorted_canonical_labels(y: Any, classes: Any, codes: Any) -> None:
    encoded, found = encode_target(pd.Series(y), "binary")
    assert found == classes
    assert encoded.dtype == np.int64
    assert encoded.tolist() == codes


def test_regression_values_stay_what_they_are() -> None:
    encoded, classes = encode_target(pd.Series([1, 2], dtype="Int64"), "regression")
    assert encoded.dtype == np.float64
    assert encoded.tolist() == [1.0, 2.0]
    assert classes == ()


def test_labels_that_a_model_does_not_know_are_marked() -> None:
    labels = pd.Series([1, 3, None, "2"], dtype=object)
    assert encode_labels(labels, ("1", "2")).tolist() == [0, -1, -1, 1]


labels = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
)


@given(st.lists(labels, min_size=1, max_size=20))
def test_encoding_finds_every_label_again(values: list[Any]) -> None:
    classes = sort_labels({canonical_label(value) for value in values})
    codes = encode_labels(pd.Series(values, dtype=object), classes)
    assert [classes[code] for code in codes] == [canonical_label(value) for value in values]


@given(st.lists(st.integers(-(10**6), 10**6), unique=True, min_size=1))
def test_numbers_are_sorted_by_value_in_whatever_form(values: list[int]) -> None:
    forms = [{str(v) for v in values}, {canonical_label(float(v)) for v in values}]
    expected = tuple(str(v) for v in sorted(values))
    assert [sort_labels(form) for form in forms] == [expected, expected]


@given(st.integers(-(2**53), 2**53))
def test_a_label_has_one_canonical_form(value: int) -> None:
    forms = {value, float(value), np.int64(value), np.float64(value), str(value)}
    assert {canonical_label(form) for form in forms} == {str(value)}


@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value_has_one_canonical_form(value: bool) -> None:
    assert {canonical_label(form) for form in (value, np.bool_(value))} == {str(value).lower()}
