"""Requests of one turn of the event loop: answered together, and each as if it were alone."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper

from perennial.errors import ModelError
from perennial.packaging.signature import Feature, Signature
from perennial.serving import router
from perennial.serving.batch import Batch
from perennial.serving.http import Request, Response
from perennial.serving.models import try_batches
from perennial.serving.options import ServingOptions
from perennial.serving.parquet import to_parquet
from perennial.serving.segment import read_segment
from tests.serving.serving_models import (
    BINARY,
    MULTICLASS,
    REGRESSION,
    LocalApi,
    build_model,
    local_api,
    nan_model,
    sigmoid_model,
    softmax_model,
    sum_model,
)

PREDICT, INFER = "/v1/models/m:predict", "/v2/models/m/infer"


def request(path: str, body: object, **headers: str) -> Request:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {k.replace("_", "-").encode(): v.encode() for k, v in headers.items()}
    return Request("POST", path, named, data, time.perf_counter(), authorized=True)


def ask_together(local: LocalApi, *requests: Request) -> list[Response | None]:
    """The answers of one batch; None for a request that is not for batches."""
    answers: dict[int, Response] = {}

    async def turn() -> None:
        batch = Batch(local.api, asyncio.get_running_loop())
        for one in requests:
            batch.take(one, lambda asked, answer: answers.__setitem__(id(asked), answer))
        assert not answers
        await asyncio.sleep(0)

    asyncio.run(turn())
    return [answers.get(id(one)) for one in requests]


def place(directory: Path, signature: Signature, model: bytes, **options: int) -> LocalApi:
    local = local_api(directory, {}, ServingOptions(**options))
    local.add_and_place(signature, {"1": model}, champion="1")
    return local


def tensor(name: str, datatype: str, *values: Any) -> dict[str, Any]:
    return {"name": name, "shape": [1, len(values)], "datatype": datatype, "data": list(values)}


REGRESSION_BODIES = [
    (PREDICT, {"rows": [{"x": 1.5, "city": "a", "z": 2}], "ids": ["q"]}),
    (PREDICT, {"rows": [{"x": None, "ts": "noon"}], "ids": ["q"]}),
    (PREDICT, {"rows": [{"x": True, "city": 3}], "ids": ['"q"']}),
    (PREDICT, {"rows": [{}], "ids": ["q"]}),
    (
        INFER,
        {
            "id": "q",
            "inputs": [tensor("numeric", "FP32", 1, 2.5), tensor("categorical", "BYTES", "b")],
        },
    ),
    (
        INFER,
        {
            "id": "q",
            "inputs": [tensor("categorical", "BYTES", None), tensor("numeric", "INT64", None, 2)],
        },
    ),
]
CLASS_BODIES = [
    (PREDICT, {"rows": [{"x": 0.3}], "ids": ["q"]}),
    (INFER, {"id": "q", "inputs": [tensor("numeric", "FP64", -0.7)]}),
]


@pytest.mark.parametrize(
    ("signature", "model", "bodies"),
    [
        (REGRESSION, sum_model(), REGRESSION_BODIES),
        (BINARY, sigmoid_model(), CLASS_BODIES),
        (MULTICLASS, softmax_model(), CLASS_BODIES),
    ],
)
def test_together_or_alone_the_answers_and_the_log_are_the_same(
    tmp_path: Path, signature: Signature, model: bytes, bodies: list[tuple[str, object]]
) -> None:
    together, alone = (
        place(tmp_path / "t", signature, model),
        place(tmp_path / "a", signature, model),
    )
    answers = ask_together(together, *[request(path, body) for path, body in bodies])
    for (path, body), answer in zip(bodies, answers, strict=True):
        assert answer is not None
        assert answer.body == alone.ask("POST", path, body).body
    assert log_rows(together) == log_rows(alone)


def log_rows(local: LocalApi) -> list[dict[str, Any]]:
    local.log.close()
    rows = []
    for path in sorted((local.directory / "log" / "m" / "predictions").glob("*")):
        table = pq.read_table(io.BytesIO(to_parquet(read_segment(path))))
        rows += table.drop_columns(["time", "latency"]).to_pylist()
        assert all(0 <= value < 10_000_000 for value in table.column("latency").to_pylist())
    return rows


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PREDICT, {"rows": [{}, {}]}),
        (PREDICT, {"rows": [{"x": "one"}]}),
        (PREDICT, {"rows": [{}], "ids": ["a" * 300]}),
        (PREDICT, {"rows": [{}], "ids": [""]}),
        (PREDICT, b"{"),
        (INFER, {"inputs": [tensor("numeric", "FP32", 1, 2)]}),
        (
            INFER,
            {"inputs": [tensor("numeric", "FP32", 1, "2"), tensor("categorical", "BYTES", "a")]},
        ),
        (INFER, {"inputs": [tensor("numeric", "FP32", 1, 2), tensor("categorical", "BYTES", 1)]}),
        (
            INFER,
            {"inputs": [tensor("numeric", "BYTES", 1, 2), tensor("categorical", "BYTES", "a")]},
        ),
        (INFER, {"inputs": [tensor("numeric", "FP32", 1, 2)] * 2}),
        (INFER, {"inputs": [tensor("numeric", "FP32", 1, 2), tensor("x", "FP32", 1)]}),
        (
            INFER,
            {
                "inputs": [tensor("numeric", "FP32", 1, 2), tensor("categorical", "BYTES", "a")],
                "outputs": [{"name": "output"}],
            },
        ),
        ("/v2/models/m/versions/1/infer", {"inputs": []}),
        ("/v2/models/m", b""),
        ("/v2/models/nobody/infer", b""),
    ],
)
def test_what_is_not_plain_goes_the_general_way(tmp_path: Path, path: str, body: object) -> None:
    local = place(tmp_path, REGRESSION, sum_model())
    assert ask_together(local, request(path, body)) == [None]


def test_a_batch_is_one_record_and_is_counted_row_by_row(tmp_path: Path) -> None:
    local = place(tmp_path, REGRESSION, sum_model())
    ask_together(local, *[request(PREDICT, {"rows": [{"x": i}]}) for i in range(5)])
    [record] = local.records()
    assert (record.rows, len(set(record.ids)), len(record.latency)) == (5, 5, 5)
    page = local.ask("GET", "/metrics").body.decode()
    labels = 'model="m",version="1",role="champion"'
    assert f"perennial_rows_total{{{labels}}} 5" in page
    assert f'perennial_requests_total{{{labels},status="200"}} 5' in page


def test_a_request_that_fails_fails_alone(tmp_path: Path) -> None:
    local = place(tmp_path, REGRESSION, nan_model())
    rows = [{"x": 1}, {}, {"x": 2}]
    answers = ask_together(local, *[request(PREDICT, {"rows": [row]}) for row in rows])
    assert [answer.status for answer in answers] == [500, 200, 500]
    assert [record.rows for record in local.records()] == [1]


def test_a_challenger_that_fails_is_replaced_in_a_batch_as_well(tmp_path: Path) -> None:
    local = place(tmp_path, REGRESSION, sum_model())
    local.add_and_place(
        REGRESSION, {"2": nan_model()}, champion="1", challenger="2", stage="canary", weight=1.0
    )
    answers = ask_together(local, *[request(PREDICT, {"rows": [{"x": i}]}) for i in range(3)])
    assert [json.loads(answer.body)["version"] for answer in answers] == ["1"] * 3
    page = local.ask("GET", "/metrics").body.decode()
    assert 'challenger_failures_total{model="m",version="2"} 3' in page


def test_a_canary_shares_the_keys_of_a_batch_as_it_does_alone(tmp_path: Path) -> None:
    local = place(tmp_path, REGRESSION, sum_model())
    local.add_and_place(
        REGRESSION, {"2": sum_model(9)}, champion="1", challenger="2", stage="canary", weight=0.4
    )
    keys = [f"k{i}" for i in range(40)]
    body = {"rows": [{"x": 1}]}
    together = ask_together(local, *[request(PREDICT, body, x_routing_key=key) for key in keys])
    alone = [local.ask("POST", PREDICT, body, x_routing_key=key) for key in keys]

    def versions(answers: list[Response]) -> list[str]:
        return [json.loads(answer.body)["version"] for answer in answers]

    assert versions(together) == versions(alone)
    assert set(versions(together)) == {"1", "2"}


def test_the_log_says_how_each_request_of_a_batch_was_routed(tmp_path: Path) -> None:
    local = place(tmp_path, REGRESSION, sum_model())
    local.add_and_place(
        REGRESSION, {"2": sum_model(9)}, champion="1", challenger="2", stage="canary", weight=0.4
    )
    body = {"rows": [{"x": 1}]}
    keys = [f"k{i}" for i in range(20)]
    ask_together(local, *[request(PREDICT, body, x_routing_key=key) for key in keys])
    for key in keys:
        local.ask("POST", PREDICT, body, x_routing_key=key)
    local.log.close()
    [segment] = (tmp_path / "log" / "m" / "predictions").iterdir()
    table = pq.read_table(io.BytesIO(to_parquet(read_segment(segment))))
    assert set(table["weight"].to_pylist()) == {0.4}
    wanted = [router.place(key, "2") for key in keys]
    signed = [value - (1 << 64) if value >= 1 << 63 else value for value in wanted]
    assert sorted(table["key"].to_pylist()) == sorted(signed * 2)


def test_shadows_follow_a_batch(tmp_path: Path) -> None:
    local = place(tmp_path, REGRESSION, sum_model())
    local.add_and_place(
        REGRESSION, {"2": sum_model(9)}, champion="1", challenger="2", stage="shadow"
    )
    for answer in ask_together(local, *[request(PREDICT, {"rows": [{"x": i}]}) for i in range(2)]):
        answer.after()
    records = local.records()
    assert [(r.version, r.role, r.rows) for r in records] == [
        ("1", "champion", 2),
        ("2", "shadow", 1),
        ("2", "shadow", 1),
    ]
    assert records[0].ids == [records[1].ids[0], records[2].ids[0]]
    assert np.frombuffer(records[2].output, np.float32).tolist() == [10.0]


def test_what_is_not_in_the_log_is_not_answered(tmp_path: Path) -> None:
    local = place(tmp_path, REGRESSION, sum_model())
    local.log.waiting = local.log.waiting + (1 << 40)
    answers = ask_together(local, *[request(PREDICT, {"rows": [{"x": i}]}) for i in range(3)])
    assert [answer.status for answer in answers] == [503] * 3
    assert dict(answers[0].headers)["Retry-After"]
    assert local.records() == []


def test_no_request_of_a_batch_is_left_without_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = place(tmp_path, REGRESSION, sum_model())

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(local.log, "batch", fail)
    answers = ask_together(local, *[request(PREDICT, {"rows": [{"x": i}]}) for i in range(3)])
    assert [answer.status for answer in answers] == [500] * 3
    assert len({id(answer) for answer in answers}) == 3


def test_a_model_that_is_replaced_is_freed_at_once(tmp_path: Path) -> None:
    local = place(tmp_path, REGRESSION, sum_model())
    old = weakref.ref(local.table.served["m"].champion)
    ask_together(local, request(PREDICT, {"rows": [{"x": 1}]}))
    gc.disable()  # as good as: a worker freezes what it has loaded
    try:
        local.add_and_place(REGRESSION, {"2": sum_model(1)}, champion="2")
        assert old() is None
    finally:
        gc.enable()


class Failing:
    """A predictor that takes time, or fails for rows of a kind."""

    signature = BINARY

    def __init__(self, seconds: float = 0.0, worst: float = np.inf) -> None:
        self._seconds = seconds
        self._worst = worst
        self.calls = 0

    def predict(self, numbers: np.ndarray, _: None) -> np.ndarray:
        self.calls += 1
        end = time.thread_time() + self._seconds
        while time.thread_time() < end:
            pass
        if np.nanmax(np.abs(numbers), initial=0.0) > self._worst:
            raise ModelError("it fails")
        return np.nan_to_num(numbers)


def test_a_slow_model_is_not_tried_for_long() -> None:
    slow = Failing(seconds=0.03)
    seconds, takes_batches = try_batches(slow)
    assert (slow.calls, takes_batches) == (1, False)
    assert 0.03 <= seconds < 0.3


def test_a_model_that_fails_for_some_rows_is_loaded_all_the_same() -> None:
    assert try_batches(Failing(worst=1.0)) == (0.0, False)
    assert try_batches(Failing())[1]


def test_a_model_whose_rows_look_at_each_other_is_asked_row_by_row(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["numeric"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["numeric", "mean"], ["output"]),
    ]
    inputs = [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, [None, 1])]
    signature = Signature(
        task="regression", target="y", features=(Feature(name="x", kind="numeric"),)
    )
    local = place(tmp_path, signature, build_model(nodes, inputs, 1))
    champion = local.table.served["m"].champion
    assert try_batches(champion.predictor)[1] is False
    body = {"rows": [{"x": 1}]}
    assert ask_together(local, request(PREDICT, body), request(PREDICT, body)) == [None, None]
