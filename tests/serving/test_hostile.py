"""Bodies that were made to break a server: each gets a 4xx that says what is wrong."""

from __future__ import annotations

import json
import socket
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given as given_examples
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from perennial.serving.options import ServingOptions
from tests.serving.serving_models import (
    BINARY,
    REGRESSION,
    LocalApi,
    local_api,
    sigmoid_model,
    sum_model,
)
from tests.serving.test_connection import Listening, listening, read_all

PREDICT, INFER, FEEDBACK = "/v1/models/m:predict", "/v2/models/m/infer", "/v1/models/m:feedback"
DEEP = 10_000


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalApi:
    made = local_api(tmp_path_factory.mktemp("hostile"), {}, ServingOptions(max_rows=1000))
    made.add_and_place(REGRESSION, {"1": sum_model()}, champion="1")
    return made


def refused(local: LocalApi, path: str, body: bytes, **headers: str) -> str:
    """See that a body is refused; give the words."""
    answer = local.ask("POST", path, body, **headers)
    assert 400 <= answer.status < 500, answer.body
    words: str = json.loads(answer.body)["error"]
    assert words
    assert "\n" not in words
    assert len(words) < 2000
    good = local.ask("POST", PREDICT, {"rows": [{"x": 1, "z": 2}]})
    assert b'"value":3.0' in good.body
    return words


NOT_JSON = [
    b"",
    b"{",
    b"nonsense",
    b"\xff\xfe\x00",
    b"\x00" * 1000,
    b'{"a": "\xff"}',
    b"[" * DEEP + b"]" * DEEP,
    b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    b'{"rows": ' + b"[" * DEEP,
    b"null",
    b"1",
    b'"text"',
    b"[]",
    b"{}",
]


@pytest.mark.parametrize("path", [PREDICT, INFER, FEEDBACK])
@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_no_request_is_refused(local: LocalApi, path: str, body: bytes) -> None:
    refused(local, path, body)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize(
    "value",
    [
        "NaN", "Infinity", "-Infinity", "nan", "1e400", "-1e400", "1e39", "-1e39",
        "1" * 400, "0x10", "01", "1.", "+1", "[1]", "{}", '"1"', '"\\ud800"',
        "[" * DEEP + "]" * DEEP,
    ],
)  # fmt: skip
def test_numbers_that_are_none_are_refused(local: LocalApi, value: str) -> None:
    refused(local, PREDICT, f'{{"rows": [{{"x": {value}}}]}}'.encode())
    tensor = '"shape": [1], "datatype": "FP32", "data": '
    inputs = f'{{"name": "x", {tensor}[{value}]}}, {{"name": "z", {tensor}[1]}}, '
    inputs += '{"name": "city", "shape": [1], "datatype": "BYTES", "data": ["a"]}'
    if value != "[1]":  # nested data are the protocol's
        refused(local, INFER, f'{{"inputs": [{inputs}]}}'.encode())
    if value not in ("1e39", "-1e39", '"1"'):
        refused(local, FEEDBACK, f'{{"id": "a", "label": {value}}}'.encode())


def test_a_class_that_is_a_long_number_is_refused(tmp_path: Path) -> None:
    local = local_api(tmp_path, {})
    local.add_and_place(BINARY, {"1": sigmoid_model()}, champion="1")
    for digits in (400, 5000):
        body = b'{"id": "a", "label": %b}' % (b"1" * digits)
        assert 400 <= local.ask("POST", FEEDBACK, body).status < 500


@pytest.mark.parametrize(
    "value", ["[]", '{"a": 1}', '"\\ud800"', "[" * DEEP + "]" * DEEP, '{"a":' * DEEP]
)
def test_texts_that_are_none_are_refused(local: LocalApi, value: str) -> None:
    refused(local, PREDICT, f'{{"rows": [{{"city": {value}}}]}}'.encode())


@pytest.mark.parametrize("text", ["\\u0000", "\\u0000a", "a" * 100_000, "\u2028", "\U0001f600"])
def test_texts_that_are_strange_are_texts(local: LocalApi, text: str) -> None:
    body = f'{{"rows": [{{"x": 2, "city": "{text}"}}]}}'.encode()
    assert local.ask("POST", PREDICT, body).status == 200


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"rows": [{"nobody": 1}]}, "nobody"),
        ({"rows": [{"n" * 10_000: 1}]}, "unknown field"),
        ({"rows": [{f"n{i}": 1 for i in range(10_000)}]}, "more"),
        ({"rows": [[1, 2]]}, "object"),
        ({"rows": {"x": 1}}, "array"),
        ({"rows": []}, "empty"),
        ({"rows": [{}] * 1001}, "1000 are allowed"),
        ({"rows": [{}], "ids": []}, "0 ids for 1 rows"),
        ({"rows": [{}], "ids": ["a" * 257]}, "256"),
        ({"rows": [{}, {}], "ids": ["a", "a"]}, "twice"),
        ({"rows": [{}], "more": 1}, "more"),
    ],
)
def test_rows_that_do_not_fit_are_refused(local: LocalApi, body: object, word: str) -> None:
    assert word in refused(local, PREDICT, json.dumps(body).encode())


def numeric(**changes: object) -> dict[str, object]:
    return {"name": "numeric", "shape": [1, 2], "datatype": "FP32", "data": [1, 2], **changes}


CITY = {"name": "categorical", "shape": [1, 1], "datatype": "BYTES", "data": ["a"]}


@pytest.mark.parametrize(
    "first",
    [
        numeric(shape=[2, 1]),
        numeric(shape=[2]),
        numeric(shape=[1, 2, 1]),
        numeric(shape=[]),
        numeric(shape=[0, 2], data=[]),
        numeric(shape=[0]),
        numeric(shape=[-1, -2]),
        numeric(shape=[1, 2**62]),
        numeric(shape=[2**63, 2]),
        numeric(shape=[2**70, 2**70]),
        numeric(shape=[1.5, 2]),
        numeric(shape=["1", 2]),
        numeric(shape=None),
        numeric(shape=[1] * 100_000),
        numeric(shape=[2**62] * 40_000),
        numeric(shape=[2**31] * 8),
        numeric(shape=[10**6, 2], data=[1] * 2),
        numeric(datatype="BYTES"),
        numeric(datatype="FP8"),
        numeric(datatype="D" * 100_000),
        numeric(datatype=None),
        numeric(name="N" * 100_000),
        numeric(name=None),
        numeric(data=[1]),
        numeric(data=[1, 2, 3]),
        numeric(data=[[1], [2, 3]]),
        numeric(data=[[[1, 2]]]),
        numeric(data={"a": 1}),
        numeric(data="1,2"),
        numeric(parameters={"binary_data_size": 8}),
        numeric(parameters={"shared_memory_region": "x"}),
        numeric(parameters=3),
    ],
)
def test_tensors_that_do_not_fit_are_refused(local: LocalApi, first: dict[str, object]) -> None:
    refused(local, INFER, json.dumps({"inputs": [first, CITY]}).encode())


def binary_body(size: object = 8, shape: object = (1, 2), text: bytes | None = None) -> bytes:
    """The JSON part of a body whose blobs follow: two numbers, and a city."""
    blob = struct.pack("<I", 1) + b"a" if text is None else text
    inputs = [
        {**numeric(shape=shape, parameters={"binary_data_size": size})},
        {**CITY, "parameters": {"binary_data_size": len(blob)}},
    ]
    for given in inputs:
        del given["data"]
    return json.dumps({"inputs": inputs}).encode()


GOOD = struct.pack("<2f", 1, 2)
GOOD_CITY = struct.pack("<I", 1) + b"a"


def test_the_binary_body_that_the_others_spoil_is_good(local: LocalApi) -> None:
    head = binary_body()
    answer = local.ask(
        "POST", INFER, head + GOOD + GOOD_CITY, inference_header_content_length=str(len(head))
    )
    assert answer.status == 200


@pytest.mark.parametrize(
    "length",
    [
        "-1",
        "",
        "abc",
        "1e3",
        "0",
        "1",
        "9999999",
        "9" * 5000,
        "0" * 5000,
        " ",
        "+5",
        "0x10",
        "\u00b2",
        "1 2",
    ],
)
def test_lengths_of_the_header_that_are_wrong_are_refused(local: LocalApi, length: str) -> None:
    body = binary_body() + GOOD + GOOD_CITY
    answer = local.ask("POST", INFER, body)
    assert 400 <= answer.status < 500
    refused(local, INFER, body, inference_header_content_length=length)


@pytest.mark.parametrize(
    ("head", "blobs"),
    [
        (binary_body(size=-8), GOOD + GOOD_CITY),
        (binary_body(size=2**70), GOOD + GOOD_CITY),
        (binary_body(size=4), GOOD + GOOD_CITY),
        (binary_body(size="8"), GOOD + GOOD_CITY),
        (binary_body(size=9), GOOD + b"x" + GOOD_CITY),
        (binary_body(shape=[2**31, 2**31]), GOOD + GOOD_CITY),
        (binary_body(shape=[0, 2], size=0), GOOD_CITY),
        (binary_body(), GOOD[:-1]),
        (binary_body(), b""),
        (binary_body(), GOOD + GOOD_CITY + b"x"),
        (binary_body(text=b"\xff\xff\xff\xffa"), GOOD + b"\xff\xff\xff\xffa"),
        (binary_body(text=b"\x01\x00"), GOOD + b"\x01\x00"),
        (binary_body(text=b"\x01\x00\x00\x00\xff"), GOOD + b"\x01\x00\x00\x00\xff"),
        (binary_body(text=b"\x00\x00\x00\x00" * 2), GOOD + b"\x00\x00\x00\x00" * 2),
        (binary_body(text=b"\x00" * 400_000), GOOD + b"\x00" * 400_000),
    ],
)
def test_binary_tensors_that_do_not_fit_are_refused(
    local: LocalApi, head: bytes, blobs: bytes
) -> None:
    refused(local, INFER, head + blobs, inference_header_content_length=str(len(head)))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_infinity_in_a_binary_tensor_is_the_clients(local: LocalApi, value: float) -> None:
    head = binary_body()
    blob = struct.pack("<2f", value, 1)
    refused(local, INFER, head + blob + GOOD_CITY, inference_header_content_length=str(len(head)))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("number", ["1e39", "-1e39", "3.4028236e38"])
def test_infinity_is_refused_by_models_that_would_take_it(tmp_path: Path, number: str) -> None:
    local = local_api(tmp_path, {})
    local.add_and_place(BINARY, {"1": sigmoid_model()}, champion="1")
    answer = local.ask("POST", PREDICT, f'{{"rows": [{{"x": {number}}}]}}'.encode())
    assert answer.status == 422
    assert "'x' is beyond" in json.loads(answer.body)["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/..%2f..%2fetc/infer",
        "/v1/models/%00:predict",
        "/v2/models/%ff/infer",
        "/v2/models/m/versions/..%2f1/infer",
        "/v1/models/" + "m" * 10_000 + ":predict",
        "//",
        "/v1/models/:predict",
    ],
)
def test_paths_that_lead_nowhere_are_404(local: LocalApi, path: str) -> None:
    assert local.ask("POST", path, {"rows": [{}]}).status == 404


def grown(local: LocalApi, path: str, body: bytes) -> int:
    """Bytes that were held at the most while a body was refused."""
    tracemalloc.start()
    try:
        assert 400 <= local.ask("POST", path, body).status < 500
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


_TENSOR = b'{"inputs":[{"name":"numeric","shape":[1,2],"datatype":"%b","data":[%b]}]}'


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, b'{"rows":[%b]}' % b",".join([b"{}"] * 1_000_000)),
        (PREDICT, b'{"rows":[{"x":[%b]}]}' % b",".join([b"[]"] * 2_000_000)),
        (FEEDBACK, b"[%b]" % b",".join([b'{"id":"a","label":1}'] * 200_000)),
        (FEEDBACK, b'{"id":[%b]}' % b",".join([b"[]"] * 2_000_000)),
        (INFER, _TENSOR % (b"FP32", b",".join([b"1"] * 1_000_000))),
        (INFER, _TENSOR % (b"BYTES", b",".join([b'"a"'] * 1_000_000))),
        (INFER, b'{"inputs":[%b]}' % b",".join([b"{}"] * 500_000)),
    ],
)
def test_a_body_that_says_too_much_is_refused_before_values_are_made_of_it(
    local: LocalApi, path: str, body: bytes
) -> None:
    assert grown(local, path, body) < 10 * len(body)


_FIELDS = st.sampled_from(
    [
        *("rows", "instances", "ids", "inputs", "outputs", "id", "label", "labels", "name"),
        *("shape", "datatype", "data", "parameters", "x", "z", "city", "binary_data_size"),
    ]
)
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 3),
    st.floats(),
    st.sampled_from([2**62, 2**63, 10**400, "FP32", "BYTES", "BOOL", "numeric", "a", ""]),
)
_DOCUMENTS = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_FIELDS, inner, max_size=5),
    max_leaves=20,
)


@hypothesis_settings(max_examples=40)
@given_examples(document=_DOCUMENTS, length=st.none() | st.text("0123456789 +-", max_size=30))
def test_no_document_is_answered_with_an_error_of_the_servers(
    local: LocalApi, document: object, length: str | None
) -> None:
    headers = {} if length is None else {"inference_header_content_length": length}
    for path in (PREDICT, INFER, FEEDBACK):
        assert local.ask("POST", path, json.dumps(document).encode(), **headers).status < 500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("s")) as server:
        yield server


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_200_megabytes_is_refused_and_the_client_hears_it(
    server: Listening, chunked: bool
) -> None:
    size, piece = 200 << 20, b"x" * (1 << 20)
    how = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\n{how}\r\n\r\n".encode()
    with server.dial() as sock:
        sock.sendall(head)
        for _ in range(200):
            try:
                sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            except (BrokenPipeError, ConnectionResetError):
                pytest.fail("the connection was cut before the answer could be read")
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert server.connections.buffered == 0


def test_a_client_that_never_ends_its_refused_body_is_cut_off(tmp_path: Path) -> None:
    with listening(tmp_path, deadline=0.5) as server, server.dial() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError, socket.timeout)):
            send_for_ever(sock)
        assert not server.connections.open


def send_for_ever(sock: socket.socket) -> None:
    piece = b"x" * 100_000
    while True:
        sock.sendall(piece)
