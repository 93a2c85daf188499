"""The source of a model is kept without a pickle, and reading one runs nothing that it names."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from typing import Any

import numpy as np
import pytest

from perennial.errors import ModelError
from perennial.packaging.predictor import encode_frame
from perennial.training.estimator import load_estimator
from perennial.training.plain_skops import dump_plain, load_plain
from perennial.training.source import dump_source, load_source
from tests.training.frames import COLUMNS, ESTIMATORS, TASKS, make_frame
from tests.training.test_estimators import prepare


def fitted(name: Any, task: str = "binary", columns: str = "mixed") -> Any:
    signature, data = prepare(task, make_frame(task, columns))
    return load_estimator(name).fit(data, seed=1, rounds=4), signature


def rewritten(data: bytes, change: Any) -> bytes:
    """A skops file whose schema was changed by hand."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    change(schema)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {**members, "schema.json": json.dumps(schema)}.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_it_gives_the_same_answers_and_the_same_bytes(name: Any, task: str, columns: str) -> None:
    model, signature = fitted(name, task, columns)
    file, data = dump_source(name, model)
    again = load_source(name, data)
    inputs = encode_frame(signature, make_frame(task, columns, seed=7))
    np.testing.assert_array_equal(again.predict(*inputs), model.predict(*inputs))
    assert again.to_onnx() == model.to_onnx()
    assert again.rounds == model.rounds
    assert dump_source(name, model) == (file, data)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_another_training_from_the_same_seed_gives_the_same_bytes(name: Any) -> None:
    assert fitted(name)[0].to_source() == fitted(name)[0].to_source()


def test_the_absolute_error_is_among_the_losses() -> None:
    signature, data = prepare("regression", make_frame("regression"))
    object.__setattr__(data, "metric", "mae")
    model = load_estimator("hist_gradient_boosting").fit(data, seed=1, rounds=4)
    inputs = encode_frame(signature, make_frame("regression"))
    again = load_source("hist_gradient_boosting", model.to_source())
    np.testing.assert_array_equal(again.predict(*inputs), model.predict(*inputs))


HOSTILE = {
    "a function of the system": ("posix", "system", "FunctionNode"),
    "a partial function": ("functools", "partial", "PartialNode"),
    "a method": ("builtins", "str", "MethodNode"),
    "an operator": ("operator", "methodcaller", "OperatorFuncNode"),
    "another estimator": ("sklearn.tree._classes", "DecisionTreeClassifier", "ObjectNode"),
    "an allowed type, built another way": ("builtins", "dict", "ReduceNode"),
    "a way that is no text": ("builtins", "dict", ["DictNode"]),
}


@pytest.mark.parametrize("family", ["hist_gradient_boosting", "linear"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_an_unknown_type_is_refused_before_anything_is_built(
    family: Any, hostile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, kind, loader = HOSTILE[hostile]

    def change(schema: Any) -> None:
        schema["content"]["rounds"] = {
            "__module__": module, "__class__": kind, "__loader__": loader, "content": {},
            "__id__": 10**6,
        }  # fmt: skip

    data = rewritten(fitted(family)[0].to_source(), change)
    monkeypatch.setattr("skops.io.loads", lambda *a, **k: pytest.fail("it was loaded"))
    with pytest.raises(ModelError, match=rf"names {module}\.{kind}: nothing but models"):
        load_source(family, data)


def test_a_pickle_is_refused() -> None:
    import pickle

    for family in ESTIMATORS:
        with pytest.raises(ModelError, match=r"no skops file|no safetensors file"):
            load_source(family, pickle.dumps({"task": "binary"}))


@pytest.mark.parametrize("family", ESTIMATORS)
def test_a_damaged_file_is_refused(family: Any) -> None:
    data = fitted(family)[0].to_source()
    for part in (b"", data[:10], data[: len(data) // 2]):
        with pytest.raises(ModelError, match="source model"):
            load_source(family, part)


def test_another_format_is_refused() -> None:
    content = load_plain(fitted("linear")[0].to_source())
    with pytest.raises(ModelError, match="has format 9, this Perennial reads 1"):
        load_source("linear", dump_plain({**content, "format": 9}))


def test_the_file_of_another_family_is_refused() -> None:
    with pytest.raises(ModelError, match="not what linear writes"):
        load_source("linear", fitted("hist_gradient_boosting")[0].to_source())


def test_tensors_of_another_shape_are_refused() -> None:
    data = fitted("mlp")[0].to_source()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    told = json.loads(header["__metadata__"]["perennial"])
    header["__metadata__"]["perennial"] = json.dumps({**told, "width": 3})
    text = json.dumps(header).encode()
    with pytest.raises(ModelError, match="not what mlp writes"):
        load_source("mlp", struct.pack("<Q", len(text)) + text + data[8 + size :])
