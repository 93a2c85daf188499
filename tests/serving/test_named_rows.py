"""What named rows may hold, and what the answer says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from perennial.serving.http import Response
from tests.serving.serving_models import REGRESSION, LocalApi, local_api, sum_model
from tests.serving.test_batch import ask_together, request

PREDICT = "/v1/models/m:predict"


@pytest.fixture
def local(tmp_path: Path) -> LocalApi:
    made = local_api(tmp_path, {})
    made.add_and_place(REGRESSION, {"1": sum_model()}, champion="1")
    return made


def ask(local: LocalApi, body: object) -> dict:
    return read(local.ask("POST", PREDICT, body))


def read(answer: Response) -> dict:
    assert answer.status == 200, answer.body
    found: dict = json.loads(answer.body)
    return found


def test_the_answer_counts_the_features_that_were_left_out(local: LocalApi) -> None:
    rows = [{"x": 1, "city": "a"}, {"z": 2}, {"x": None, "city": "", "z": 0}]
    answer = ask(local, {"rows": rows})
    assert answer["missing"] == {"x": 1, "city": 1, "z": 1}
    assert list(answer) == ["model", "version", "predictions", "missing"]


@pytest.mark.parametrize(
    ("row", "missing"),
    [
        ({"x": 1, "city": "a", "z": 2}, None),
        ({"x": None, "city": None, "z": None}, None),
        ({"x": True, "city": 3, "z": 0, "ts": "noon"}, None),
        ({"city": "a", "z": 2}, {"x": 1}),
        ({"x": 1, "z": 2}, {"city": 1}),
        ({}, {"x": 1, "city": 1, "z": 1}),
    ],
)
def test_a_row_alone_says_so_too(local: LocalApi, row: dict, missing: dict | None) -> None:
    body = {"rows": [row], "ids": ["q"]}
    (answer,) = ask_together(local, request(PREDICT, body))
    assert answer is not None
    assert read(answer).get("missing") == missing
    assert ask(local, body) == read(answer)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (b'{"x": 1e400}', "row 0: field 'x' is beyond what a float32 holds"),
        (b'{"x": "3"}', "row 0: field 'x' must be a number or bool, not a string"),
        (b'{"x": {}}', "row 0: field 'x' must be a number or bool, not an object"),
        (b'{"city": 1e400}', "row 0: field 'city' is beyond what a number can be"),
        (b'{"city": []}', "row 0: field 'city' must be a string, number or bool, not an array"),
        (b"5", "row 0: an object of named fields is expected, not a number"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_its_field(
    local: LocalApi, row: bytes, words: str
) -> None:
    answer = local.ask("POST", PREDICT, b'{"rows": [' + row + b"]}")
    assert answer.status == 422
    assert json.loads(answer.body)["error"] == words


def test_what_is_no_field_is_named_without_signs(local: LocalApi) -> None:
    answer = local.ask("POST", PREDICT, {"rows": [{}], "ids": [5]})
    assert json.loads(answer.body)["error"] == "Expected `str`, got `int` - at `ids[0]`"


@pytest.mark.parametrize("path", ["/", "/v1/models", "/v1/models/"])
def test_the_models_are_listed(local: LocalApi, path: str) -> None:
    found = json.loads(local.ask("GET", path).body)
    assert found["docs"] == "/docs"
    assert found["models"] == [
        {
            "name": "m",
            "version": "1",
            "predict": PREDICT,
            "feedback": "/v1/models/m:feedback",
            "about": "/v2/models/m",
        }
    ]


def test_the_page_shows_bodies_that_are_answered(tmp_path: Path) -> None:
    local = local_api(tmp_path, {})
    local.add_and_place(REGRESSION, {"1": sum_model()}, champion="1")
    document = json.loads(local.ask("GET", "/openapi.json").body)
    page = local.ask("GET", "/docs").body.decode()
    for path in (PREDICT, "/v1/models/m:feedback", "/v2/models/m/infer"):
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        assert local.ask("POST", path, content["example"]).status == 200
        assert f"POST {path}" in page
    assert "order-1" in page
