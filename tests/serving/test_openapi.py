"""The description of the server says what the server does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from perennial.serving.http import Response
from tests.serving.serving_models import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    LocalApi,
    local_api,
    sigmoid_model,
    softmax_model,
    sum_model,
)

PREDICT, INFER, FEEDBACK = "/v1/models/m:predict", "/v2/models/m/infer", "/v1/models/m:feedback"
MODELS = {
    "regression": (REGRESSION, sum_model()),
    "binary": (BINARY, sigmoid_model()),
    "multiclass": (MULTICLASS, softmax_model()),
}


@pytest.fixture(params=list(MODELS))
def local(request: pytest.FixtureRequest, tmp_path: Path) -> LocalApi:
    signature, model = MODELS[request.param]
    made = local_api(tmp_path, {})
    made.add_and_place(signature, {"1": model}, champion="1")
    return made


def describe(local: LocalApi) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(local.ask("GET", "/openapi.json").body)
    return found


def fits(document: dict[str, Any], schema: dict[str, Any], value: object) -> bool:
    whole = {**schema, "components": document["components"]}
    return bool(Draft202012Validator(whole).is_valid(value))


def body_schema(document: dict[str, Any], path: str) -> dict[str, Any]:
    content = document["paths"][path]["post"]["requestBody"]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


def answer_fits(document: dict[str, Any], path: str, method: str, answer: Response) -> bool:
    described = document["paths"][path][method]["responses"][str(answer.status)]["content"]
    schema = described[answer.content_type]["schema"]
    return fits(document, schema, json.loads(answer.body))


def tensor(name: str, datatype: str, *values: object) -> dict[str, object]:
    return {"name": name, "shape": [1, len(values)], "datatype": datatype, "data": list(values)}


def test_every_schema_is_one(local: LocalApi) -> None:
    for schema in describe(local)["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize(
    ("path", "body", "good"),
    [
        (PREDICT, {"rows": [{"x": 1}, {"x": None}, {}, {"x": True}]}, True),
        (PREDICT, {"rows": [{"x": 3.4028235677973362e38}], "ids": ["a"]}, True),
        (PREDICT, {"rows": [{"x": 3.4028235677973366e38}]}, False),
        (PREDICT, {"rows": [{"x": "1"}]}, False),
        (PREDICT, {"rows": [{"nobody": 1}]}, False),
        (PREDICT, {"rows": [{}], "ids": ["a", "b"]}, False),
        (PREDICT, {"rows": [{}], "ids": [""]}, False),
        (PREDICT, {"rows": []}, False),
        (PREDICT, {}, False),
        (FEEDBACK, {"labels": [{"id": "a", "label": ""}]}, False),
        (FEEDBACK, {"labels": []}, False),
        (FEEDBACK, {"id": "a", "label": None}, False),
        (FEEDBACK, {"id": "a", "label": [1]}, False),
    ],
)
def test_what_fits_is_answered_and_what_does_not_is_refused(
    local: LocalApi, path: str, body: object, good: bool
) -> None:
    document = describe(local)
    assert fits(document, body_schema(document, path), body) is good
    answer = local.ask("POST", path, body)
    assert (answer.status == 200) is good
    assert answer_fits(document, path, "post", answer)


@pytest.mark.parametrize(
    ("body", "tasks"),
    [
        ({"id": "a", "label": 10**30}, {"regression", "multiclass"}),
        ([{"id": "a", "label": -1.5}], {"regression", "multiclass"}),
        ({"labels": [{"id": "a", "label": "yes"}]}, {"binary", "multiclass"}),
        ({"id": "a", "label": 10**39}, {"multiclass"}),
        ({"id": "a", "label": "n/a"}, {"multiclass"}),
    ],
)
def test_a_label_that_the_task_has_no_use_for_is_refused(
    local: LocalApi, body: object, tasks: set[str]
) -> None:
    document = describe(local)
    good = local.table.served["m"].champion.signature.task in tasks
    assert fits(document, body_schema(document, FEEDBACK), body) is good
    answer = local.ask("POST", FEEDBACK, body)
    assert (answer.status == 200) is good
    assert answer_fits(document, FEEDBACK, "post", answer)


def test_tensors_that_fit_are_answered(local: LocalApi) -> None:
    document = describe(local)
    numbers = [1.5, None] if local.table.served["m"].champion.signature.context else [1.5]
    inputs = [tensor("numeric", "FP32", *numbers)]
    if len(numbers) == 2:
        inputs.append(tensor("categorical", "BYTES", "a"))
    for path in (INFER, "/v2/models/m/versions/1/infer"):
        schema = body_schema(document, path)
        for body in ({"inputs": inputs}, {"inputs": inputs, "outputs": [{"name": "output"}]}):
            assert fits(document, schema, body)
            answer = local.ask("POST", path, body)
            assert answer.status == 200
            assert answer_fits(document, path, "post", answer)
        for body in ({"inputs": []}, {"inputs": inputs * 2}, {"inputs": [{"name": "numeric"}]}):
            assert not fits(document, schema, body)
            assert local.ask("POST", path, body).status in (400, 422)


def test_metadata_and_health_are_as_described(local: LocalApi) -> None:
    document = describe(local)
    for path, methods in document["paths"].items():
        for method in methods:
            if method == "get" and path != "/metrics":
                answer = local.ask("GET", path)
                assert answer.status == 200
                assert answer_fits(document, path, "get", answer)
    assert answer_fits(
        document, "/v2/repository/index", "post", local.ask("POST", "/v2/repository/index")
    )


def test_without_a_champion_the_paths_stand_in_general(tmp_path: Path) -> None:
    local = local_api(tmp_path, {})
    local.add_and_place(REGRESSION, {}, champion=None)
    document = describe(local)
    assert "/v2/models/{model}/infer" in document["paths"]
    answer = local.ask("POST", INFER, {"inputs": []})
    assert answer.status == 503
    assert answer_fits(document, "/v2/models/{model}/infer", "post", answer)


def test_the_description_says_whether_a_token_is_needed(
    local: LocalApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {} in describe(local)["security"]
    tokens = [{"name": "a", "token": "may-do-everything-here", "scopes": ["admin"]}]
    monkeypatch.setenv("PERENNIAL_TOKENS", json.dumps(tokens))
    guarded = local_api(tmp_path / "guarded", {})
    answer = guarded.ask("GET", "/openapi.json", authorization="Bearer may-do-everything-here")
    assert json.loads(answer.body)["security"] == [{"bearer": []}]
