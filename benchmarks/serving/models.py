"""What is served: boosted trees of 100 rounds, on 20 numbers, and on 10 strings and 10 numbers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.versions import put_version
from perennial.packaging.export import export
from perennial.packaging.signature import Feature, Signature
from perennial.registry import State
from perennial.store import Store, layout
from perennial.training.estimator import TrainingSet
from perennial.training.hist_gradient_boosting import ESTIMATOR

ROWS = 5000
ROUNDS = 100
BATCH = 1000
_LEVELS = np.array(["red", "green", "blue", "white", "black"], dtype=object)


def make_data(numbers: int, strings: int) -> TrainingSet:
    """Draw rows with a target that the features explain in part."""
    random = np.random.default_rng(0)
    numeric = random.normal(size=(ROWS, numbers)).astype(np.float32)
    categorical = random.choice(_LEVELS, size=(ROWS, strings))
    y = numeric[:, 0] * numeric[:, 1] + numeric[:, 2] + random.normal(size=ROWS)
    if strings:
        y += (categorical[:, 0] == "red") * 2.0
    return TrainingSet("regression", "rmse", 1, numeric, categorical, y.astype(np.float64))


def register(store: Store, pipeline: str, data: TrainingSet) -> bytes:
    """Register two versions with a canary of 10%; return the champion's graph."""
    signature = Signature(
        task="regression",
        target="y",
        features=(
            *(Feature(name=f"n{i}", kind="numeric") for i in range(data.numeric.shape[1])),
            *(Feature(name=f"s{i}", kind="categorical") for i in range(data.categorical.shape[1])),
        ),
    )
    graphs = [export(ESTIMATOR.fit(data, seed=s, rounds=ROUNDS), signature) for s in (0, 1)]
    for version, graph in zip(("0001", "0002"), graphs, strict=True):
        put_version(store, pipeline, version, graph, signature)
    state = State(
        pipeline=pipeline,
        champion="0001",
        challenger="0002",
        stage="canary",
        weight=0.1,
        updated_at=datetime.now(UTC),
    )
    store.put_json(layout.state(pipeline), state)
    return graphs[0]


def tensor_body(data: TrainingSet) -> bytes:
    """One row as an infer request in JSON."""
    inputs: list[dict[str, object]] = []
    for name, datatype, columns in (
        ("numeric", "FP32", [round(float(v), 4) for v in data.numeric[0]]),
        ("categorical", "BYTES", list(data.categorical[0])),
    ):
        if columns:
            shape = [1, len(columns)]
            inputs.append({"name": name, "shape": shape, "datatype": datatype, "data": columns})
    return json.dumps({"inputs": inputs}).encode()


def named_body(data: TrainingSet) -> bytes:
    """One row as named fields."""
    row: dict[str, object] = {f"n{i}": round(float(v), 4) for i, v in enumerate(data.numeric[0])}
    row |= {f"s{i}": value for i, value in enumerate(data.categorical[0])}
    return json.dumps({"rows": [row]}).encode()


def binary_body(data: TrainingSet) -> tuple[bytes, int]:
    """Many rows of numbers as a binary tensor; and the length of the JSON part."""
    matrix = np.ascontiguousarray(data.numeric[:BATCH], dtype="<f4")
    tensor = {
        "name": "numeric",
        "shape": list(matrix.shape),
        "datatype": "FP32",
        "parameters": {"binary_data_size": matrix.nbytes},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + matrix.tobytes(), len(head)


def save_for_peers(data: TrainingSet, path: Path) -> None:
    """Write the training rows for processes that do not know Perennial."""
    np.savez(path, x=data.numeric, y=data.y)
