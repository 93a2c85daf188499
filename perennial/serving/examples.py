"""Bodies of requests as they would be sent to one model."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from perennial.packaging.signature import CATEGORICAL, NUMERIC, Signature, TimeField
from perennial.serving.tensors import BYTES
from perennial.spec.times import MILLISECONDS, SECONDS

_MOMENT = datetime(2026, 1, 31, 14, 30)
_UNITS = {SECONDS: 1, MILLISECONDS: 1000}
_EPOCH = datetime(1970, 1, 1)
_ID = "order-1"


def time_value(time: TimeField) -> str | int:
    """A time as a request writes it."""
    unit = _UNITS.get(time.format.format)
    if unit is not None:
        return int((_MOMENT - _EPOCH).total_seconds()) * unit
    return time.format.example


def predict_body(signature: Signature) -> dict[str, Any]:
    """One row for ``:predict``, with its id and, where the pipeline has one, its time."""
    row: dict[str, Any] = {}
    if signature.time is not None:
        row[signature.time.name] = time_value(signature.time)
    row |= {f.name: 1.5 if f.kind == "numeric" else "text" for f in signature.features}
    return {"rows": [row], "ids": [_ID]}


def feedback_body(signature: Signature) -> dict[str, Any]:
    """The truth about that row."""
    label: object = signature.classes[-1] if signature.classes else 1.5
    return {"id": _ID, "label": label}


def infer_body(signature: Signature) -> dict[str, Any]:
    """The same row as tensors."""
    inputs: list[dict[str, Any]] = []
    for name, columns, datatype, value in (
        (NUMERIC, signature.numeric, "FP32", 1.5),
        (CATEGORICAL, signature.categorical, BYTES, "text"),
    ):
        if columns:
            shape, data = [1, len(columns)], [value] * len(columns)
            inputs.append({"name": name, "shape": shape, "datatype": datatype, "data": data})
    return {"id": _ID, "inputs": inputs}


BODIES: dict[str, Callable[[Signature], dict[str, Any]]] = {
    "PredictRequest": predict_body,
    "FeedbackRequest": feedback_body,
    "InferRequest": infer_body,
}
"""By the schema of the body."""
