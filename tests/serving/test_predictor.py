"""Rows and frames into a graph."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import ModelError, RequestError
from perennial.packaging.predictor import Predictor, RowEncoder, encode_frame
from perennial.packaging.signature import Feature, Signature
from perennial.serving.http import HttpError, encode_json
from perennial.serving.rows import RowDecoder
from tests.serving.serving_models import REGRESSION, sum_model


def inputs(*given: object) -> tuple[np.ndarray, np.ndarray]:
    """What rows of named fields give the graph."""
    encoded = RowEncoder(REGRESSION).encode(given)
    encoded.refuse_infinite(REGRESSION)
    return encoded.inputs()


def test_rows_are_taken_as_they_are_meant() -> None:
    numeric, categorical = inputs(
        {"x": 1, "z": True, "city": 2.0, "ts": 3},
        {"x": None, "city": None},
        {"city": False},
        {"x": math.nan, "city": math.nan},
    )
    np.testing.assert_array_equal(
        numeric, np.array([[1, 1], [np.nan] * 2, [np.nan] * 2, [np.nan] * 2], dtype=np.float32)
    )
    assert categorical.tolist() == [["2"], [""], ["false"], [""]]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"x": "1"}, "row 0: field 'x' must be a number or bool, not a string"),
        ({"x": []}, "field 'x' must be a number or bool, not an array"),
        ({"city": {}}, "field 'city' must be a string, number or bool, not an object"),
        ({"nope": 1, "never": 2}, "unknown fields 'never', 'nope'; the model knows x, city, z"),
        ({"x": 10**400}, "field 'x' is beyond what a float32 holds"),
        ({"z": -1e39}, "field 'z' is beyond"),
        (3, "an object of named fields is expected, not a number"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_name(row: object, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        inputs(row)


def test_frames_and_rows_mean_the_same() -> None:
    frame = pd.DataFrame(
        {
            "x": [1, None, 2.5],
            "z": pd.array([True, None, False], dtype="boolean"),
            "city": [1.0, None, 2.0],
            "other": ["passed", "over", ""],
        }
    )
    rows = [{"x": 1, "z": True, "city": 1}, {}, {"x": 2.5, "z": False, "city": 2}]
    for found, wanted in zip(encode_frame(REGRESSION, frame), inputs(*rows), strict=True):
        assert found.dtype == wanted.dtype
        assert np.array_equal(found[0], wanted[0])
        assert np.array_equal(found[2], wanted[2])
    frame["city"] = pd.Categorical(["a", None, "b"])
    assert encode_frame(REGRESSION, frame)[1].tolist() == [["a"], [""], ["b"]]
    with pytest.raises(RequestError, match="column 'x' must hold numbers"):
        encode_frame(REGRESSION, frame.assign(x="text"))


numbers = st.floats(allow_nan=False, allow_infinity=False)  # JSON knows no others
values = st.none() | st.booleans() | st.integers() | numbers | st.text()
rows = st.lists(
    st.dictionaries(st.sampled_from(["x", "z", "city", "ts", "nope"]), values), min_size=1
)


@given(rows)
def test_the_fast_and_the_plain_way_agree(given_rows: list[dict]) -> None:
    try:
        body = encode_json({"rows": given_rows})
    except (OverflowError, UnicodeEncodeError):
        return
    try:
        plain = RowEncoder(REGRESSION).encode(given_rows)
    except RequestError:
        plain = None
    try:
        fast = RowDecoder(REGRESSION).decode(body, 1000).encoded
    except (RequestError, HttpError):
        fast = None
    if plain is None or fast is None:
        assert fast is None
        return
    assert np.array_equal(plain.numeric, fast.numeric, equal_nan=True)
    assert plain.categorical.tolist() == fast.categorical.tolist()
    assert plain.context == fast.context


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot be loaded"):
        Predictor(b"no graph", REGRESSION)
    with pytest.raises(ModelError, match="was expected"):
        Predictor(sum_model(numeric=3), REGRESSION)
    with pytest.raises(ModelError, match="its signature says"):
        Predictor(sum_model(categorical=False), REGRESSION)


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_signature_may_have_one_kind_of_feature_alone(kind: str, count: int) -> None:
    signature = Signature(task="regression", target="y", features=(Feature(name="a", kind=kind),))
    body = encode_json({"rows": [{"a": 1}] * count})
    encoded = RowDecoder(signature).decode(body, 10).encoded
    wanted = [[1.0]] if kind == "numeric" else [["1"]]
    found = encoded.numeric if kind == "numeric" else encoded.categorical
    assert found.tolist() == wanted * count
    assert encoded.numeric.shape[0] == encoded.categorical.shape[0] == count
    assert [part is None for part in encoded.inputs()] == [kind != "numeric", kind == "numeric"]
