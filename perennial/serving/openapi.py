"""The OpenAPI description of a server: its routes, and those of every model that it serves.

What stands under the name of a model is as narrow as its champion's signature: every request that
fits it is answered. Its tensors are described for one row; more rows are as good.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from perennial.packaging.signature import (
    CATEGORICAL,
    LARGEST_FLOAT32,
    NUMERIC,
    Signature,
    TimeField,
    canonical_label,
)
from perennial.serving import docs, examples
from perennial.serving.docs import ID, Schema
from perennial.serving.models import LoadedModel, Served
from perennial.serving.tensors import BYTES

_NUMBER: Schema = {
    "anyOf": [
        {"type": "number", "minimum": -LARGEST_FLOAT32, "maximum": LARGEST_FLOAT32},
        {"type": ["boolean", "null"]},
    ],
    "description": "null is a missing value.",
}
_TEXT: Schema = {
    "type": ["string", "number", "boolean", "null"],
    "description": "null and the empty string are a missing value.",
}


def document(served: Mapping[str, Served], *, max_rows: int, needs_token: bool) -> Schema:
    """Write the description.

    Args:
        served: all pipelines by name. Where none has a champion the paths stand in general.
        max_rows: of one request.
        needs_token: whether anything may be asked without one.
    """
    named: dict[str, Schema] = {}
    schemas: dict[str, Schema] = dict(docs.SCHEMAS)
    for name, entry in sorted(served.items()):
        if entry.champion is not None:
            schemas |= _schemas(entry.champion, max_rows)
            versions = [model.version for model in entry.models]
            named |= _paths(name, versions, entry.champion.signature)
    general = docs.OPENAPI["paths"].items()
    return {
        **docs.OPENAPI,
        "paths": {p: path for p, path in general if not (named and "{model}" in p)} | named,
        "components": {**docs.OPENAPI["components"], "schemas": schemas},
        "security": [{"bearer": []}] if needs_token else [{}, {"bearer": []}],
    }


def _paths(name: str, versions: list[str], signature: Signature) -> dict[str, Schema]:
    """The general paths, for one model and each of its versions."""
    bodies = {"PredictRequest": "Predict", "FeedbackRequest": "Feedback", "InferRequest": "Infer"}
    found: dict[str, Schema] = {}
    for path, method, summary, answer, body in docs.ROUTES:
        if "{model}" not in path:
            continue
        schema = None if body is None else _schema_name(name, bodies[body])
        for version in versions if "{version}" in path else [""]:
            at = path.replace("{model}", quote(name)).replace("{version}", quote(version))
            found[at] = {method: docs.operation(at, method, f"{name}: {summary}", answer, schema)}
            if body is not None:
                content = found[at][method]["requestBody"]["content"]["application/json"]
                content["example"] = examples.BODIES[body](signature)
    return found


def _schema_name(model: str, kind: str) -> str:
    return f"{model}.{kind}"


def _schemas(model: LoadedModel, max_rows: int) -> dict[str, Schema]:
    signature, name = model.signature, model.pipeline
    return {
        _schema_name(name, "Row"): _row(signature),
        _schema_name(name, "Predict"): _predict(_schema_name(name, "Row"), max_rows),
        _schema_name(name, "Feedback"): _feedback(signature, max_rows),
        _schema_name(name, "Infer"): _infer(model),
    }


def _row(signature: Signature) -> Schema:
    properties: dict[str, Schema] = dict.fromkeys(signature.context, _TEXT)
    if signature.time is not None:
        properties[signature.time.name] = _time(signature.time)
    properties |= {f.name: _NUMBER if f.kind == "numeric" else _TEXT for f in signature.features}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _time(time: TimeField) -> Schema:
    form = time.format
    return {
        "type": ["string", "number", "null"],
        "examples": [examples.time_value(time)],
        "description": f"When the row happened, such as {form.example} ({form.timezone}, where "
        "there is no offset); left out: the moment of the request.",
    }


def _predict(row: str, max_rows: int) -> Schema:
    rows: Schema = {"type": "array", "items": docs.ref(row), "minItems": 1, "maxItems": max_rows}
    one: Schema = {"minItems": 1, "maxItems": 1}
    with_ids: Schema = {"type": "array", "items": ID, **one}
    return {
        "description": "ids, where they are sent, are as many as the rows.",
        "anyOf": [
            docs.make_object({"rows": rows, "ids": {"type": "null"}}, ["rows"], **_CLOSED),
            docs.make_object({"rows": {**rows, **one}, "ids": with_ids}, ["rows"], **_CLOSED),
        ],
    }


_CLOSED: dict[str, Any] = {"additionalProperties": False}


def _feedback(signature: Signature, max_rows: int) -> Schema:
    truth = _truth(signature)
    label = docs.make_object({"id": ID, "label": truth}, ["id", "label"], **_CLOSED)
    labels = {"type": "array", "items": label, "minItems": 1, "maxItems": max_rows}
    return {"anyOf": [label, labels, docs.make_object({"labels": labels}, ["labels"], **_CLOSED)]}


def _truth(signature: Signature) -> Schema:
    """What a label may be; `perennial.packaging.labels` says it of a value."""
    if signature.task == "regression":
        return {"type": "number", "minimum": -LARGEST_FLOAT32, "maximum": LARGEST_FLOAT32}
    if signature.task == "multiclass":
        return {"type": ["string", "number", "boolean"], "not": {"const": ""}}
    return {"enum": [form for label in signature.classes for form in _forms(label)]}


def _forms(label: str) -> list[object]:
    """The JSON values that are one class."""
    if label in ("true", "false"):
        return [label, label == "true"]
    try:
        number = msgspec.json.decode(label, type=int | float)
    except msgspec.MsgspecError:
        return [label]
    return [label, number] if canonical_label(number) == label else [label]


def _infer(model: LoadedModel) -> Schema:
    signature = model.signature
    inputs = [
        _tensor(name, len(columns), datatypes, value)
        for name, columns, datatypes, value in (
            (NUMERIC, signature.numeric, ["FP32", "FP64"], _NUMBER),
            (CATEGORICAL, signature.categorical, [BYTES], {"type": ["string", "null"]}),
        )
        if columns
    ]
    count = {"minItems": len(inputs), "maxItems": len(inputs)}
    names = [output.name for output in model.outputs]
    return docs.make_object(
        {
            "id": {"type": "string", "maxLength": ID["maxLength"]},
            "inputs": {"type": "array", "prefixItems": inputs, "items": False, **count},
            "outputs": {
                "type": "array",
                "items": docs.make_object({"name": {"enum": names}}, ["name"]),
            },
        },
        ["inputs"],
    )


def _tensor(name: str, columns: int, datatypes: list[str], value: Schema) -> Schema:
    return docs.make_object(
        {
            "name": {"const": name},
            "shape": {"const": [1, columns]},
            "datatype": {"enum": datatypes},
            "data": {"type": "array", "items": value, "minItems": columns, "maxItems": columns},
        },
        ["name", "shape", "datatype", "data"],
    )
