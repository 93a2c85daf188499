"""Routes and roles, over local files alone."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from perennial.packaging.signature import Feature, Signature
from perennial.serving.http import Response
from perennial.serving.options import ServingOptions
from perennial.serving.segment import row_ids
from perennial.serving.tensors import from_binary, pack_bytes
from tests.serving.serving_models import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    LocalApi,
    local_api,
    nan_model,
    raising_model,
    shrinking_model,
    sigmoid_model,
    softmax_model,
    sum_model,
)

PREDICT, INFER, FEEDBACK = "/v1/models/m:predict", "/v2/models/m/infer", "/v1/models/m:feedback"


@pytest.fixture
def local(tmp_path: Path) -> LocalApi:
    made = local_api(tmp_path, {})
    made.add_and_place(REGRESSION, {"1": sum_model(), "2": sum_model(100)}, champion="1")
    return made


def content(response: Response) -> dict:
    return json.loads(response.body)


def numeric(*rows: list[float | None]) -> dict:
    return {"name": "numeric", "shape": [len(rows), 2], "datatype": "FP32", "data": list(rows)}


def texts(*values: str | None) -> dict:
    return {
        "name": "categorical",
        "shape": [len(values), 1],
        "datatype": "BYTES",
        "data": list(values),
    }


# Open Inference Protocol


def test_matrices_and_single_features_give_the_same_answer(local: LocalApi) -> None:
    matrix = local.ask("POST", INFER, {"inputs": [numeric([1, 2], [3, None]), texts("a", None)]})
    features = [
        {"name": "x", "shape": [2], "datatype": "INT32", "data": [1, 3]},
        {"name": "z", "shape": [2, 1], "datatype": "FP64", "data": [[2], [None]]},
        {"name": "city", "shape": [2, 1], "datatype": "BYTES", "data": ["a", ""]},
        {"name": "ts", "shape": [2], "datatype": "BYTES", "data": ["noon", ""]},
    ]
    single = local.ask("POST", INFER, {"inputs": features, "id": "q"})
    assert content(matrix)["outputs"] == content(single)["outputs"]
    assert content(single) == {
        "model_name": "m",
        "model_version": "1",
        "id": "q",
        "outputs": [{"name": "output", "shape": [2, 1], "datatype": "FP32", "data": [4.0, 3.0]}],
    }
    assert row_ids(local.records()[1].ids, 2) == ["q#0", "q#1"]
    assert local.records()[1].context == [["noon"], [None]]


def test_binary_tensors_in_and_out(local: LocalApi) -> None:
    blobs = [np.array([[1, 2]], dtype="<f4").tobytes(), pack_bytes(["b"])]
    head = {
        "inputs": [
            {
                "name": name,
                "shape": shape,
                "datatype": datatype,
                "parameters": {"binary_data_size": len(blob)},
            }
            for (name, shape, datatype), blob in zip(
                [("numeric", [1, 2], "FP32"), ("categorical", [1, 1], "BYTES")], blobs, strict=True
            )
        ],
        "parameters": {"binary_data_output": True},
    }
    encoded = json.dumps(head).encode()
    answer = local.ask(
        "POST",
        INFER,
        encoded + b"".join(blobs),
        inference_header_content_length=str(len(encoded)),
    )
    assert answer.status == 200, answer.body
    length = int(dict(answer.headers)["Inference-Header-Content-Length"])
    [output] = json.loads(answer.body[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": 4}
    assert np.frombuffer(answer.body[length:], "<f4").tolist() == [5.0]


def test_classes_come_as_probabilities_and_labels(tmp_path: Path) -> None:
    local = local_api(tmp_path, {})
    local.add_and_place(MULTICLASS, {"1": softmax_model()}, champion="1")
    x = {"name": "x", "shape": [2], "datatype": "FP32", "data": [5, -5]}
    wanted = [{"name": "label"}, {"name": "output", "parameters": {"binary_data": False}}]
    label, output = content(local.ask("POST", INFER, {"inputs": [x], "outputs": wanted}))["outputs"]
    assert (label["datatype"], label["shape"], label["data"]) == ("BYTES", [2, 1], ["a", "c"])
    assert (output["shape"], len(output["data"])) == ([2, 3], 6)
    unknown = local.ask("POST", INFER, {"inputs": [x], "outputs": [{"name": "nope"}]})
    assert unknown.status == 400
    assert "the model gives output, label" in content(unknown)["error"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([], "at least one row"),
        ([numeric([1, 2])], "'city' is missing"),
        ([numeric([1, 2]), texts("a", "b")], "different numbers of rows"),
        ([numeric([1, 2]), texts("a"), texts("a")], "stands twice"),
        ([{**numeric([1, 2]), "shape": [1, 3]}, texts("a")], "needs 3"),
        ([{**numeric([1, 2, 3]), "shape": [1, 3]}, texts("a")], "[1, 2] was expected"),
        ([{**numeric([1, 2]), "shape": [-1, -2]}, texts("a")], "negative"),
        ([{**numeric([1, 2]), "datatype": "FP128"}, texts("a")], "FP128"),
        ([{**numeric([1, 2]), "data": ["1", "2"]}, texts("a")], "Expected"),
        ([{**numeric([1, 2]), "data": None}, texts("a")], "Expected"),
        ([{"name": "x", "shape": [1], "datatype": "FP32"}], "no data"),
        ([numeric([1, 2]), texts("a"), {**texts("a"), "name": "extra"}], "unknown input 'extra'"),
        ([{**texts("a"), "name": "numeric"}, texts("a")], "[1, 2] was expected"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_words(
    local: LocalApi, inputs: list[dict], words: str
) -> None:
    answer = local.ask("POST", INFER, {"inputs": inputs})
    assert answer.status == 400
    assert words in content(answer)["error"]


@hypothesis_settings(deadline=None)
@given(st.binary(max_size=300), st.one_of(st.none(), st.integers(-2, 310)))
def test_no_body_makes_the_server_fail(
    shared_local: LocalApi, body: bytes, length: int | None
) -> None:
    headers = {} if length is None else {"inference_header_content_length": str(length)}
    for path in (INFER, PREDICT, FEEDBACK):
        assert 400 <= shared_local.ask("POST", path, body, **headers).status < 500


@pytest.fixture(scope="module")
def shared_local(tmp_path_factory: pytest.TempPathFactory) -> LocalApi:
    made = local_api(tmp_path_factory.mktemp("shared"), {})
    made.add_and_place(REGRESSION, {"1": sum_model()}, champion="1")
    return made


@given(st.lists(st.text()))
def test_bytes_elements_survive_the_binary_form(values: list[str]) -> None:
    packed = pack_bytes(values)
    assert from_binary("t", [len(values)], "BYTES", memoryview(packed), 1000).texts == values


def test_metadata_is_the_signature_of_the_champion(local: LocalApi) -> None:
    found = content(local.ask("GET", "/v2/models/m"))
    assert found["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "city", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "z", "datatype": "FP32", "shape": [-1, 1]},
    ]
    assert found["outputs"] == [{"name": "output", "datatype": "FP32", "shape": [-1, 1]}]
    assert found["versions"] == ["1"]
    assert content(local.ask("GET", "/v2"))["name"] == "perennial"
    assert local.ask("GET", "/v2/models/m/versions/1").status == 200
    assert local.ask("GET", "/v2/models/m/versions/1/ready").status == 200
    assert local.ask("GET", "/v2/models/m/versions/9/ready").status == 404
    assert content(local.ask("POST", "/v2/repository/index")) == [
        {"name": "m", "version": "1", "state": "READY", "reason": ""}
    ]


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/metrics", INFER, PREDICT, "/docs"])
def test_a_wrong_method_is_told_which_one_is_right(local: LocalApi, path: str) -> None:
    answer = local.ask("DELETE", path)
    assert answer.status == 405
    assert dict(answer.headers)["Allow"] in ("POST", "GET, HEAD")
    assert content(answer)["error"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw"])
def test_compressed_bodies_are_understood(local: LocalApi, encoding: str) -> None:
    body = json.dumps({"rows": [{"x": 1}]}).encode()
    if encoding == "gzip":
        body = gzip.compress(body)
    elif encoding == "deflate":
        body = zlib.compress(body)
    else:
        raw = zlib.compressobj(wbits=-15)
        body, encoding = raw.compress(body) + raw.flush(), "deflate"
    assert local.ask("POST", PREDICT, body, content_encoding=encoding).status == 200
    cut = local.ask("POST", PREDICT, body[:-3], content_encoding=encoding)
    assert cut.status == 400
    assert local.ask("POST", PREDICT, body, content_encoding="br").status == 415


def test_a_small_body_that_unpacks_into_a_large_one_is_refused(tmp_path: Path) -> None:
    local = local_api(tmp_path, {}, ServingOptions(max_body=10_000))
    local.add_and_place(REGRESSION, {"1": sum_model()}, champion="1")
    bomb = gzip.compress(b" " * 1_000_000)
    assert local.ask("POST", PREDICT, bomb, content_encoding="gzip").status == 413


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=0.1, deflate", "deflate"),
        ("*", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("GZIP ; q=1.0", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=much", None),
        ("br", None),
        ("", None),
    ],
)
def test_long_answers_are_compressed_as_the_client_accepts_it(
    local: LocalApi, accepted: str, encoding: str | None
) -> None:
    body = {"rows": [{"x": i} for i in range(200)], "ids": [f"i{i}" for i in range(200)]}
    plain = local.ask("POST", PREDICT, body).body
    answer = local.ask("POST", PREDICT, body, accept_encoding=accepted)
    assert dict(answer.headers).get("Content-Encoding") == encoding
    undo = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[encoding]
    assert undo(answer.body) == plain
    assert dict(answer.headers)["Vary"] == "Accept-Encoding"
    short = local.ask("POST", PREDICT, {"rows": [{"x": 1}]}, accept_encoding=accepted)
    assert "Content-Encoding" not in dict(short.headers)


def test_too_many_rows_are_refused(tmp_path: Path) -> None:
    local = local_api(tmp_path, {}, ServingOptions(max_rows=2))
    local.add_and_place(REGRESSION, {"1": sum_model()}, champion="1")
    assert local.ask("POST", PREDICT, {"rows": [{}] * 3}).status == 422
    wide = {"inputs": [numeric([1, 2], [1, 2], [1, 2]), texts("a", "a", "a")]}
    assert local.ask("POST", INFER, wide).status == 422
    labels = [{"id": "a", "label": 1}] * 3
    assert local.ask("POST", FEEDBACK, labels).status == 422


def test_the_description_covers_every_route(local: LocalApi) -> None:
    paths = content(local.ask("GET", "/openapi.json"))["paths"]
    assert {PREDICT, INFER, FEEDBACK, "/v2/models/m/versions/1/infer", "/metrics"} <= set(paths)
    page = local.ask("GET", "/docs")
    assert page.content_type.startswith("text/html")
    assert b"http://" not in page.body
    assert b"https://" not in page.body


# Roles


def test_a_canary_shares_the_keys_and_keeps_them(local: LocalApi) -> None:
    versions = {"1": sum_model(), "2": sum_model(100)}
    local.add_and_place(
        REGRESSION, versions, champion="1", challenger="2", stage="canary", weight=0.3
    )
    body = {"rows": [{"x": 1}]}
    first = [content(local.ask("POST", PREDICT, body, x_routing_key=f"k{i}")) for i in range(400)]
    again = [content(local.ask("POST", PREDICT, body, x_routing_key=f"k{i}")) for i in range(400)]
    sides = [answer["version"] for answer in first]
    assert sides == [answer["version"] for answer in again]
    assert 80 < sides.count("2") < 160
    assert all(
        a["predictions"][0]["value"] == (101.0 if a["version"] == "2" else 1.0) for a in first
    )
    roles = {(r.version, r.role) for r in local.records()}
    assert roles == {("1", "champion"), ("2", "challenger")}


@pytest.mark.parametrize("broken", [nan_model, raising_model, shrinking_model])
def test_a_challenger_that_fails_is_replaced_by_the_champion(
    local: LocalApi, broken: Callable[[], bytes]
) -> None:
    local.add_and_place(
        REGRESSION, {"2": broken()}, champion="1", challenger="2", stage="canary", weight=1.0
    )
    answer = content(local.ask("POST", PREDICT, {"rows": [{"x": 1}]}))
    assert (answer["version"], answer["predictions"][0]["value"]) == ("1", 1.0)
    assert 'challenger_failures_total{model="m",version="2"} 1' in exposition_of(local)


def test_a_challenger_of_another_signature_is_asked_in_its_own_terms(tmp_path: Path) -> None:
    local = local_api(tmp_path, {})
    wide = REGRESSION.model_copy(
        update={"features": (*REGRESSION.features, Feature(name="new", kind="numeric"))}
    )
    local.add_and_place(REGRESSION, {"1": sum_model()}, champion="1")
    place = {"champion": "1", "challenger": "2", "stage": "canary", "weight": 1.0}
    local.add_and_place(wide, {"2": sum_model(100, numeric=3)}, **place)
    answer = content(local.ask("POST", PREDICT, {"rows": [{"x": 1}]}))
    assert (answer["version"], answer["predictions"][0]["value"]) == ("2", 101.0)
    # A row that only the champion understands is the champion's.
    narrow = Signature(task="regression", target="y", features=REGRESSION.features[:2])
    local.add_and_place(narrow, {"3": sum_model(7, numeric=1)}, **{**place, "challenger": "3"})
    answer = content(local.ask("POST", PREDICT, {"rows": [{"z": 1}]}))
    assert answer["version"] == "1"


def test_a_shadow_is_logged_and_answers_nobody(local: LocalApi) -> None:
    local.add_and_place(
        REGRESSION, {"2": sum_model(100)}, champion="1", challenger="2", stage="shadow"
    )
    answer = local.ask("POST", PREDICT, {"rows": [{"x": 1}], "ids": ["a"]})
    assert content(answer)["version"] == "1"
    assert answer.after is not None
    answer.after()
    assert [(r.version, r.role, r.ids) for r in local.records()] == [
        ("1", "champion", ["a"]),
        ("2", "shadow", ["a"]),
    ]


def test_a_named_version_answers_itself(local: LocalApi) -> None:
    local.add_and_place(REGRESSION, {}, champion="1", previous="2", stage="bake")
    body = {"inputs": [numeric([1, 2]), texts("a")]}
    answer = local.ask("POST", "/v2/models/m/versions/2/infer", body)
    assert content(answer)["model_version"] == "2"
    assert content(answer)["outputs"][0]["data"] == [104.0]
    assert local.ask("POST", "/v2/models/m/versions/3/infer", body).status == 404


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_model_that_answers_nan_is_the_servers_fault_and_infinity_the_clients(
    tmp_path: Path,
) -> None:
    local = local_api(tmp_path, {})
    local.add_and_place(REGRESSION, {"1": nan_model()}, champion="1")
    assert local.ask("POST", PREDICT, {"rows": [{"x": 1}]}).status == 500
    assert local.ask("POST", PREDICT, b'{"rows": [{"x": 1e39}]}').status == 422


def test_numbers_that_are_too_large_for_a_model_are_the_clients(local: LocalApi) -> None:
    answer = local.ask("POST", PREDICT, {"rows": [{"x": 3e38, "z": 3e38}]})
    assert answer.status == 422
    assert "1e+09" in content(answer)["error"]
    assert local.records() == []


def exposition_of(local: LocalApi) -> str:
    return local.ask("GET", "/metrics").body.decode()


def test_answers_are_counted_by_model_version_and_role(local: LocalApi) -> None:
    local.ask("POST", PREDICT, {"rows": [{}, {}]})
    local.ask("POST", PREDICT, b"")
    text = exposition_of(local)
    labels = 'model="m",version="1",role="champion"'
    assert f"perennial_rows_total{{{labels}}} 2" in text
    assert f'perennial_requests_total{{{labels},status="200"}} 1' in text
    assert 'status="400"} 1' in text
    assert f'perennial_request_seconds_bucket{{{labels},le="+Inf"}} 1' in text


# Rights


TOKENS = json.dumps(
    [
        {"name": "shop", "token": "predicts-and-no-more", "scopes": ["predict"]},
        {"name": "root", "token": "may-do-everything-here", "scopes": ["admin"]},
    ]
)


def test_a_token_opens_what_its_scopes_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_TOKENS", TOKENS)
    local = local_api(tmp_path, {})
    local.add_and_place(BINARY, {"1": sigmoid_model()}, champion="1")
    body = {"rows": [{"x": 1}]}
    assert local.ask("POST", PREDICT, body).status == 401
    for wrong in ("Bearer nobody-knows-this-one", "Basic predicts-and-no-more", "Bearer", ""):
        assert local.ask("POST", PREDICT, body, authorization=wrong).status == 401
    shop = {"authorization": "Bearer predicts-and-no-more"}
    assert local.ask("POST", PREDICT, body, **shop).status == 200
    for method, path in [("POST", FEEDBACK), ("GET", "/metrics"), ("GET", "/v2/models/m")]:
        assert local.ask(method, path, b"{}", **shop).status == 403
    root = {"authorization": "Bearer may-do-everything-here"}
    assert local.ask("GET", "/metrics", **root).status == 200
    assert local.ask("GET", "/v2/health/live").status == 200
    assert content(local.ask("GET", "/v2/health/ready")) == {"ready": True}
    assert content(local.ask("GET", "/v2/health/ready", **root))["models"] == {"m": "1"}
