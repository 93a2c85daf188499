"""Small packaged models whose answers are known."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from benchmarks import versions
from perennial.packaging.signature import Feature, Signature
from perennial.registry import State
from perennial.serving.api import Api
from perennial.serving.auth import Tokens
from perennial.serving.http import Request, Response
from perennial.serving.lineup import Lineup, LocalModels, Placement
from perennial.serving.log import Log
from perennial.serving.metrics import Metrics, exposition, worker_metrics
from perennial.serving.models import ModelTable
from perennial.serving.options import ServingOptions
from perennial.serving.segment import PredictionRecord, read_segment
from perennial.store import Store, layout

REGRESSION = Signature(
    task="regression",
    target="y",
    features=(
        Feature(name="x", kind="numeric"),
        Feature(name="city", kind="categorical"),
        Feature(name="z", kind="numeric"),
    ),
    context=("ts",),
)
BINARY = Signature(
    task="binary",
    target="y",
    features=(Feature(name="x", kind="numeric"),),
    classes=("no", "yes"),
)
MULTICLASS = Signature(
    task="multiclass",
    target="y",
    features=(Feature(name="x", kind="numeric"),),
    classes=("a", "b", "c"),
)


PRESENT = [
    helper.make_node("IsNaN", ["numeric"], ["missing"]),
    helper.make_node("Where", ["missing", "zero", "numeric"], ["present"]),
]
"""Missing numbers are 0."""


def sum_model(offset: float = 0.0, *, numeric: int = 2, categorical: bool = True) -> bytes:
    """The sum of the numeric features (missing ones are 0), of the city (a: 1, b: 2, else 0) and
    of ``offset``."""
    nodes = [
        *PRESENT,
        helper.make_node("ReduceSum", ["present", "axis"], ["sum"], keepdims=1),
    ]
    inputs = [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, [None, numeric])]
    last = "sum"
    if categorical:
        inputs.append(helper.make_tensor_value_info("categorical", TensorProto.STRING, [None, 1]))
        nodes += [
            helper.make_node(
                "LabelEncoder",
                ["categorical"],
                ["code"],
                domain="ai.onnx.ml",
                keys_strings=["a", "b"],
                values_floats=[1.0, 2.0],
                default_float=0.0,
            ),
            helper.make_node("Add", ["sum", "code"], ["both"]),
        ]
        last = "both"
    nodes.append(helper.make_node("Add", [last, "offset"], ["output"]))
    return build_model(nodes, inputs, 1, offset=np.float32(offset))


def softmax_model() -> bytes:
    """Probabilities of three classes: softmax of (x, 0, -x)."""
    nodes = [
        *PRESENT,
        helper.make_node("MatMul", ["present", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["output"], axis=1),
    ]
    inputs = [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, [None, 1])]
    return build_model(nodes, inputs, 3, weights=np.array([[1.0, 0.0, -1.0]], dtype=np.float32))


def sigmoid_model() -> bytes:
    """Probability of the second class: the logistic function of x."""
    nodes = [*PRESENT, helper.make_node("Sigmoid", ["present"], ["output"])]
    inputs = [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, [None, 1])]
    return build_model(nodes, inputs, 1)


def nan_model() -> bytes:
    """Answers NaN for every row in which a number is there, 0 where both are missing."""
    return _broken(
        helper.make_node("Where", ["missing", "zero", "nan"], ["all"]),
        helper.make_node("ReduceSum", ["all", "axis"], ["output"], keepdims=1),
        nan=np.float32("nan"),
    )


def raising_model() -> bytes:
    """Fails for every row whose numbers come to 1 or more, answers 0 where both are missing."""
    return _broken(
        *PRESENT[1:],
        helper.make_node("ReduceSum", ["present", "axis"], ["sum"], keepdims=1),
        helper.make_node("Cast", ["sum"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["output"]),
        table=np.zeros(1, dtype=np.float32),
    )


def shrinking_model() -> bytes:
    """Leaves out every row in which a number is there, answers 2 where both are missing."""
    return _broken(
        helper.make_node("Cast", ["missing"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["ones", "axis"], ["rows"], keepdims=0),
        helper.make_node("Greater", ["rows", "one"], ["kept"]),
        helper.make_node("ReduceSum", ["ones", "axis"], ["all"], keepdims=1),
        helper.make_node("Compress", ["all", "kept"], ["output"], axis=0),
        one=np.float32(1),
    )


def _broken(*nodes: Any, **constants: Any) -> bytes:
    inputs = [
        helper.make_tensor_value_info("numeric", TensorProto.FLOAT, [None, 2]),
        helper.make_tensor_value_info("categorical", TensorProto.STRING, [None, 1]),
    ]
    unused = helper.make_node("Identity", ["categorical"], ["unused"])
    return build_model([PRESENT[0], *nodes, unused], inputs, 1, **constants)


def build_model(nodes: list[Any], inputs: list[Any], width: int, **constants: Any) -> bytes:
    """Make a graph of nodes; of the constants those that a node takes are put into it."""
    constants |= {"zero": np.float32(0), "axis": np.array([1])}
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "test",
        inputs,
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, width])],
        [
            helper.make_tensor(
                name,
                helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype),
                np.shape(value),
                np.ravel(value),
            )
            for name, value in constants.items()
            if name in used
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return model


def put_version(
    store: Store,
    pipeline: str,
    version: str,
    model: bytes,
    signature: Signature = REGRESSION,
    *,
    damaged: bool = False,
) -> None:
    """Register a version; damaged: its model is not what the manifest says."""
    versions.put_version(store, pipeline, version, model, signature, damaged=damaged)


def put_state(store: Store, pipeline: str, champion: str | None, **fields: Any) -> None:
    """Write a state as it is."""
    state = State(pipeline=pipeline, champion=champion, updated_at=datetime.now(UTC), **fields)
    store.put_json(layout.state(pipeline), state)


def local_api(
    directory: Path, placements: dict[str, Placement], options: ServingOptions | None = None
) -> LocalApi:
    """An `Api` over local files alone; the models of a pipeline are to be added before."""
    options = options or ServingOptions()
    models = LocalModels(directory / "models")
    models.write_lineup(Lineup(placements))
    table = ModelTable(models)
    table.refresh()
    metrics = worker_metrics()
    log = Log(
        directory / "log",
        "w",
        segment_size=options.segment_size,
        segment_age=options.segment_age,
        bound=options.log_bound,
    )
    tokens = Tokens.from_env(os.environ)
    api = Api(
        table,
        log,
        metrics,
        options,
        tokens,
        lambda: exposition(metrics, directory, directory / "none"),
    )
    return LocalApi(api, table, log, metrics, directory)


@dataclass
class LocalApi:
    """The parts behind it, and short ways to ask."""

    api: Api
    table: ModelTable
    log: Log
    metrics: Metrics
    directory: Path

    def ask(self, method: str, path: str, body: object = b"", **headers: str) -> Response:
        """Send a request; what is no bytes is sent as JSON; ``x_y="z"`` is the header x-y."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {k.replace("_", "-").encode(): v.encode() for k, v in headers.items()}
        return self.api.handle(Request(method, path, named, data, time.perf_counter()))

    def records(self, pipeline: str = "m") -> list[PredictionRecord]:
        """What is in the log."""
        self.log.close()
        paths = sorted((self.directory / "log" / pipeline / "predictions").glob("*"))
        return [r for path in paths for r in read_segment(path).predictions]

    def add_and_place(
        self, signature: Signature, versions: dict[str, bytes], **placement: Any
    ) -> None:
        """Add models to pipeline m, and read its new line-up."""
        models = LocalModels(self.directory / "models")
        for version, model in versions.items():
            models.add("m", version, model, signature.model_dump_json().encode())
        placement = {"revision": 1, "stage": "idle", "weight": 0.0, **placement}
        models.write_lineup(Lineup({"m": Placement(**placement)}))
        self.table.refresh()
