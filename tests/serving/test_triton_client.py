"""Triton's own client, unmodified."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from perennial.settings import Settings
from perennial.store import Store
from tests.serving.serving_models import (
    MULTICLASS,
    put_state,
    put_version,
    softmax_model,
    sum_model,
)
from tests.serving.serving_process import ServerProcess, running_server

triton = pytest.importorskip("tritonclient.http")
aio = pytest.importorskip("tritonclient.http.aio")
utils = pytest.importorskip("tritonclient.utils")


@pytest.fixture(scope="module")
def server(
    module_settings: Settings, module_store: Store, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    put_version(module_store, "bike", "0001-a", sum_model())
    put_state(module_store, "bike", "0001-a")
    put_version(module_store, "kind", "0001-c", softmax_model(), MULTICLASS)
    put_state(module_store, "kind", "0001-c")
    put_state(module_store, "empty", None)
    with running_server(module_settings, tmp_path_factory.mktemp("server")) as server:
        server.wait_for_version("kind", "0001-c")
        yield server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[Any]:
    with triton.InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield client


def make_inputs(rows: int, *, binary: bool, matrix: bool) -> tuple[list[Any], np.ndarray]:
    """Inputs of the model bike, and what it answers."""
    numbers = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    cities = np.array([["a", "b", "é"][i % 3] for i in range(rows)], dtype=object)
    columns = [("numeric", numbers), ("categorical", cities[:, None])]
    if not matrix:
        columns = [
            ("x", numbers[:, 0].astype(np.float64)),
            ("city", cities[:, None]),
            ("z", numbers[:, 1:].astype(np.int32)),
        ]
    inputs = []
    for name, values in columns:
        made = triton.InferInput(name, values.shape, utils.np_to_triton_dtype(values.dtype))
        made.set_data_from_numpy(values, binary_data=binary)
        inputs.append(made)
    return inputs, numbers.sum(axis=1) + np.array([[1, 2, 0][i % 3] for i in range(rows)])


@pytest.mark.parametrize(
    ("rows", "binary", "matrix", "output", "compression"),
    list(
        itertools.product(
            (1, 500), (True, False), (True, False), (None, True, False), (None, "gzip", "deflate")
        )
    ),
)
def test_every_way_of_asking(
    client: Any, rows: int, binary: bool, matrix: bool, output: bool | None, compression: str | None
) -> None:
    inputs, wanted = make_inputs(rows, binary=binary, matrix=matrix)
    answer = client.infer(
        "bike",
        inputs,
        model_version="0001-a" if matrix else "",
        outputs=None
        if output is None
        else [triton.InferRequestedOutput("output", binary_data=output)],
        request_id="q",
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
    )
    np.testing.assert_allclose(answer.as_numpy("output")[:, 0], wanted)
    assert answer.get_response()["id"] == "q"


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("bike")
    assert client.is_model_ready("bike", "0001-a")
    assert not client.is_model_ready("bike", "0009-z")
    assert not client.is_model_ready("empty")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    described = client.get_model_metadata("kind")
    assert [o["name"] for o in described["outputs"]] == ["output", "label"]
    assert client.get_model_config("bike")["input"][1]["data_type"] == "TYPE_STRING"
    states = {entry["name"]: entry["state"] for entry in client.get_model_repository_index()}
    assert states == {"bike": "READY", "kind": "READY", "empty": "UNAVAILABLE"}


def test_labels_come_as_bytes(client: Any) -> None:
    x = triton.InferInput("x", [2], "FP32")
    x.set_data_from_numpy(np.array([5, -5], dtype=np.float32))
    answer = client.infer("kind", [x])
    assert answer.as_numpy("label").tolist() == [[b"a"], [b"c"]]
    assert answer.as_numpy("output").shape == (2, 3)


@pytest.mark.parametrize(("model", "status"), [("nobody", "404"), ("empty", "503")])
def test_errors_are_the_protocols(client: Any, model: str, status: str) -> None:
    inputs, _ = make_inputs(1, binary=True, matrix=True)
    with pytest.raises(utils.InferenceServerException, match=model) as failure:
        client.infer(model, inputs)
    assert failure.value.status() == status


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("rows", [3, 700])
def test_the_asyncio_client(server: ServerProcess, compression: str | None, rows: int) -> None:
    async def ask() -> np.ndarray:
        async with aio.InferenceServerClient(server.url.removeprefix("http://")) as client:
            inputs, _ = make_inputs(rows, binary=True, matrix=False)
            answer = await client.infer(
                "bike",
                inputs,
                request_compression_algorithm=compression,
                response_compression_algorithm=compression,
            )
            return answer.as_numpy("output")

    _, wanted = make_inputs(rows, binary=True, matrix=False)
    np.testing.assert_allclose(asyncio.run(ask())[:, 0], wanted)
