"""The OpenAPI description of a server, whatever it serves."""

from __future__ import annotations

from typing import Any

import perennial

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """Point to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def make_object(properties: Schema, required: list[str], **more: Any) -> Schema:
    """Describe an object."""
    return {"type": "object", "properties": properties, "required": required, **more}


ID: Schema = {"type": "string", "minLength": 1, "maxLength": 256}
_TEXT: Schema = {"type": "string"}
_ANY_MAP: Schema = {"type": "object", "additionalProperties": True}
_LABEL: Schema = {"anyOf": [{"type": t} for t in ("string", "number", "boolean")]}

SCHEMAS: Schema = {
    "Error": make_object({"error": _TEXT}, ["error"]),
    "PredictRequest": make_object(
        {
            "rows": {
                "type": "array",
                "minItems": 1,
                "items": _ANY_MAP,
                "description": "One object a row: the model's features and context fields by name. "
                "A field of numbers takes numbers and bools, a field of text takes text, numbers "
                "and bools; a field that is left out and null are a missing value. A row without "
                "its time happens when it arrives.",
            },
            "ids": {
                "type": "array",
                "items": ID,
                "uniqueItems": True,
                "description": "One id a row, by which feedback will name it; made where left out.",
            },
        },
        ["rows"],
        additionalProperties=False,
    ),
    "Prediction": make_object(
        {
            "id": ID,
            "value": {"type": "number", "description": "Regression."},
            "label": {"type": "string", "description": "Classification."},
            "probability": {
                "type": "object",
                "additionalProperties": {"type": "number"},
                "description": "Classification: by class.",
            },
        },
        ["id"],
    ),
    "PredictResponse": make_object(
        {
            "model": _TEXT,
            "version": _TEXT,
            "predictions": {"type": "array", "items": ref("Prediction")},
            "missing": {
                "type": "object",
                "additionalProperties": {"type": "integer"},
                "description": "Rows in which a feature was left out, by feature; not there where "
                "none was.",
            },
        },
        ["model", "version", "predictions"],
    ),
    "Label": make_object(
        {"id": ID, "label": _LABEL},
        ["id", "label"],
        additionalProperties=False,
        description="id is that of the prediction. Of several labels for an id the latest holds. "
        "No server knows all ids, so one that was never asked is taken too; the monitor counts "
        "them.",
    ),
    "FeedbackRequest": {
        "anyOf": [
            ref("Label"),
            {"type": "array", "minItems": 1, "items": ref("Label")},
            make_object(
                {"labels": {"type": "array", "minItems": 1, "items": ref("Label")}},
                ["labels"],
                additionalProperties=False,
            ),
        ]
    },
    "FeedbackResponse": make_object(
        {"model": _TEXT, "accepted": {"type": "integer"}}, ["model", "accepted"]
    ),
    "Tensor": make_object(
        {
            "name": _TEXT,
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": _TEXT,
            "parameters": _ANY_MAP,
            "data": {"type": "array", "items": {}},
        },
        ["name", "shape", "datatype"],
    ),
    "InferRequest": make_object(
        {
            "id": {"type": "string", "maxLength": 256},
            "inputs": {"type": "array", "minItems": 1, "items": ref("Tensor")},
            "outputs": {
                "type": "array",
                "items": make_object({"name": _TEXT, "parameters": _ANY_MAP}, ["name"]),
            },
            "parameters": _ANY_MAP,
        },
        ["inputs"],
    ),
    "InferResponse": make_object(
        {
            "model_name": _TEXT,
            "model_version": _TEXT,
            "id": _TEXT,
            "outputs": {"type": "array", "items": ref("Tensor")},
        },
        ["model_name", "model_version", "id", "outputs"],
    ),
    "ModelMetadata": make_object(
        {
            "name": _TEXT,
            "versions": {"type": "array", "items": _TEXT},
            "platform": _TEXT,
            "inputs": {"type": "array", "items": _ANY_MAP},
            "outputs": {"type": "array", "items": _ANY_MAP},
            "parameters": _ANY_MAP,
        },
        ["name", "platform", "inputs", "outputs"],
    ),
    "ModelReady": make_object(
        {"name": _TEXT, "version": _TEXT, "ready": {"type": "boolean"}}, ["name", "ready"]
    ),
    "ServerReady": make_object(
        {
            "ready": {"type": "boolean"},
            "models": {
                "type": "object",
                "additionalProperties": {"anyOf": [_TEXT, {"type": "null"}]},
                "description": "The champion of each pipeline.",
            },
            "refused": {
                "type": "object",
                "additionalProperties": {"type": "object", "additionalProperties": _TEXT},
                "description": "Versions that cannot be served, and why, by pipeline.",
            },
        },
        ["ready"],
    ),
    "ServerLive": make_object({"live": {"type": "boolean"}}, ["live"]),
    "ServerMetadata": make_object(
        {"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}},
        ["name", "version", "extensions"],
    ),
    "ModelList": make_object(
        {
            "models": {
                "type": "array",
                "items": make_object(
                    {
                        "name": _TEXT,
                        "version": {
                            "anyOf": [_TEXT, {"type": "null"}],
                            "description": "The champion; null: there is none yet.",
                        },
                        "predict": _TEXT,
                        "feedback": _TEXT,
                        "about": _TEXT,
                    },
                    ["name", "version"],
                ),
            },
            "docs": _TEXT,
        },
        ["models"],
    ),
    "RepositoryIndex": {
        "type": "array",
        "items": make_object(
            {"name": _TEXT, "version": _TEXT, "state": _TEXT, "reason": _TEXT}, ["name"]
        ),
    },
}

ERRORS = {
    "400": "The request cannot be understood.",
    "401": "A token is needed.",
    "403": "The token lacks the scope.",
    "404": "There is no such model or version.",
    "405": "The method is not for this path.",
    "408": "The request did not arrive in time.",
    "413": "The body is too large.",
    "415": "The Content-Encoding is not understood.",
    "422": "The body does not fit the model: a field is unknown, has a wrong type, or there are "
    "too many rows.",
    "431": "The head is too large.",
    "500": "The model or the server failed.",
    "503": "Not now: no champion yet, too much at a time, or the log cannot take more.",
}


def _answers(schema: str | None, media: str = "application/json") -> Schema:
    content = {media: {"schema": ref(schema) if schema else _TEXT}}
    if schema == "InferResponse":
        content["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    error = {"application/json": {"schema": ref("Error")}}
    return {
        "200": {"description": "Done.", "content": content},
        **{s: {"description": why, "content": error} for s, why in ERRORS.items()},
    }


def _path_parameters(path: str) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in ("model", "version")
        if f"{{{name}}}" in path
    ]


def _header(name: str, description: str, kind: str = "string") -> Schema:
    schema: Schema = {"type": kind}
    if kind == "integer":
        schema["minimum"] = 0
    return {"name": name, "in": "header", "description": description, "schema": schema}


_ROUTING = _header(
    "X-Routing-Key", "Requests of one key are answered by one side of a canary rollout."
)
_HEADER_LENGTH = _header(
    "Inference-Header-Content-Length",
    "Bytes of the JSON part, where binary tensors follow it.",
    "integer",
)


def operation(
    path: str, method: str, summary: str, schema: str | None, body: str | None = None
) -> Schema:
    """Describe what is done at a path; ``schema`` is of the answer, ``body`` of the request."""
    operation: Schema = {
        "summary": summary,
        "operationId": f"{method}{path}",
        "parameters": _path_parameters(path),
        "responses": _answers(schema, "application/json" if schema else "text/plain"),
    }
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": ref(body)}},
        }
    if schema in ("PredictResponse", "InferResponse"):
        operation["parameters"].append(_ROUTING)
    if body == "InferRequest":
        operation["parameters"].append(_HEADER_LENGTH)
    return operation


ROUTES: list[tuple[str, str, str, str | None, str | None]] = [
    ("/", "get", "Which models are there?", "ModelList", None),
    ("/v1/models", "get", "Which models are there?", "ModelList", None),
    (
        "/v1/models/{model}:predict",
        "post",
        "Predict rows of named fields.",
        "PredictResponse",
        "PredictRequest",
    ),
    (
        "/v1/models/{model}:feedback",
        "post",
        "Say what was true; one label or many.",
        "FeedbackResponse",
        "FeedbackRequest",
    ),
    ("/v2/health/live", "get", "Is the server alive?", "ServerLive", None),
    ("/v2/health/ready", "get", "Does it know its models?", "ServerReady", None),
    ("/v2", "get", "What server is this?", "ServerMetadata", None),
    ("/v2/models/{model}", "get", "What does the champion take?", "ModelMetadata", None),
    ("/v2/models/{model}/ready", "get", "Is there a champion?", "ModelReady", None),
    ("/v2/models/{model}/infer", "post", "Predict tensors.", "InferResponse", "InferRequest"),
    (
        "/v2/models/{model}/versions/{version}",
        "get",
        "What does a version take?",
        "ModelMetadata",
        None,
    ),
    (
        "/v2/models/{model}/versions/{version}/ready",
        "get",
        "Is a version loaded?",
        "ModelReady",
        None,
    ),
    (
        "/v2/models/{model}/versions/{version}/infer",
        "post",
        "Predict tensors with one version.",
        "InferResponse",
        "InferRequest",
    ),
    ("/v2/repository/index", "post", "Which versions are there?", "RepositoryIndex", None),
    ("/metrics", "get", "Numbers for Prometheus.", None, None),
]

OPENAPI: Schema = {
    "openapi": "3.1.0",
    "info": {
        "title": "Perennial inference server",
        "version": perennial.__version__,
        "description": "Open Inference Protocol v2, and rows as named fields.",
    },
    "paths": {},
    "components": {
        "schemas": SCHEMAS,
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
    },
    "security": [{}, {"bearer": []}],
}
for _path, _method, _summary, _schema, _body in ROUTES:
    OPENAPI["paths"].setdefault(_path, {})[_method] = operation(
        _path, _method, _summary, _schema, _body
    )
