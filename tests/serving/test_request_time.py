"""The time of a request, in every protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perennial.packaging.signature import TimeField
from perennial.serving.http import Response
from perennial.serving.tensors import pack_bytes
from perennial.spec import TimeFormat
from tests.serving.serving_models import REGRESSION, LocalApi, local_api, sum_model
from tests.serving.test_batch import ask_together, request

PREDICT, INFER = "/v1/models/m:predict", "/v2/models/m/infer"
TIMED = REGRESSION.model_copy(update={"time": TimeField(name="ts", format=TimeFormat())})
GERMAN = TIMED.model_copy(
    update={"time": TimeField(name="ts", format=TimeFormat(format="%d.%m.%Y"))}
)


@pytest.fixture
def local(tmp_path: Path) -> LocalApi:
    made = local_api(tmp_path, {})
    made.add_and_place(TIMED, {"1": sum_model()}, champion="1")
    return made


def named(local: LocalApi, value: object) -> Response:
    return local.ask("POST", PREDICT, {"rows": [{"x": 1}, {"x": 1, "ts": value}]})


def one_row(local: LocalApi, value: object) -> Response:
    row = {"x": 1, "city": "a", "z": 2, "ts": value}
    return local.ask("POST", PREDICT, {"rows": [row]})


def in_batch(local: LocalApi, value: object) -> Response:
    body = {"rows": [{"x": 1, "city": "a", "z": 2, "ts": value}]}
    (answer,) = ask_together(local, request(PREDICT, body))
    return answer or local.ask("POST", PREDICT, body)


def tensors(value: object) -> list[dict[str, Any]]:
    made = [
        {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]},
        {"name": "z", "shape": [1], "datatype": "FP32", "data": [1]},
        {"name": "city", "shape": [1], "datatype": "BYTES", "data": ["a"]},
    ]
    if isinstance(value, str):
        return [*made, {"name": "ts", "shape": [1], "datatype": "BYTES", "data": [value]}]
    return [*made, {"name": "ts", "shape": [1], "datatype": "INT64", "data": [value]}]


def oip_json(local: LocalApi, value: object) -> Response:
    return local.ask("POST", INFER, {"inputs": tensors(value)})


def oip_binary(local: LocalApi, value: object) -> Response:
    *features, time = tensors(value)
    numbers = np.array([value], "<i8").tobytes() if time["datatype"] == "INT64" else b""
    blob = numbers or pack_bytes([str(value)])
    del time["data"]
    head = json.dumps(
        {"inputs": [*features, {**time, "parameters": {"binary_data_size": len(blob)}}]}
    ).encode()
    return local.ask("POST", INFER, head + blob, inference_header_content_length=str(len(head)))


WAYS = [named, one_row, in_batch, oip_json, oip_binary]


@pytest.mark.parametrize("ask", WAYS)
@pytest.mark.parametrize("value", ["gestern", "2026-02-30", "01.02.2026", "9999-01-01", 10**12])
def test_a_time_that_is_none_is_refused_with_field_value_and_form(
    local: LocalApi, ask: Any, value: object
) -> None:
    answer = ask(local, value)
    assert answer.status == 422
    words = json.loads(answer.body)["error"]
    assert f"field 'ts': '{value}' is no time: write 2026-01-31T14:30:00, or leave it" in words
    assert local.records() == []


@pytest.mark.parametrize("ask", WAYS)
def test_a_time_that_is_one_is_logged_as_it_was_sent(local: LocalApi, ask: Any) -> None:
    assert ask(local, "2026-01-31T14:30:00+02:00").status == 200
    (record,) = local.records()
    assert record.context[-1] == ["2026-01-31T14:30:00+02:00"]


@pytest.mark.parametrize("value", [None, ""])
def test_a_row_without_a_time_is_answered(local: LocalApi, value: object) -> None:
    assert named(local, value).status == 200
    assert one_row(local, value).status == 200
    assert {tuple(row) for record in local.records() for row in record.context} == {(None,)}


def test_the_format_is_the_versions(tmp_path: Path) -> None:
    local = local_api(tmp_path, {})
    local.add_and_place(GERMAN, {"1": sum_model()}, champion="1")
    for ask in WAYS:
        assert ask(local, "31.01.2026").status == 200
        words = json.loads(ask(local, "01/31/2026").body)["error"]
        assert "write 31.01.2026" in words


def test_a_challenger_that_cannot_read_the_time_does_not_keep_the_champion_from_answering(
    tmp_path: Path,
) -> None:
    local = local_api(tmp_path, {})
    local.add_and_place(GERMAN, {"1": sum_model()}, champion="1")
    local.add_and_place(
        TIMED, {"2": sum_model()}, champion="1", challenger="2", stage="canary", weight=1.0
    )
    answer = local.ask("POST", PREDICT, {"rows": [{"x": 1, "ts": "31.01.2026"}]})
    assert (answer.status, json.loads(answer.body)["version"]) == (200, "1")
