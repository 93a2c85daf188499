"""The friendly routes: rows as named fields in, predictions out, labels back.

``POST /v1/models/<name>:predict``::

    {"rows": [{"temp": 0.3, "weather": "mist"}, ...], "ids": ["a", ...]}

``ids`` may be left out, then the server makes them. Regression answers::

    {"model": "bike", "version": "0001-ab12cd34",
     "predictions": [{"id": "a", "value": 12.5}, ...]}

and classification, with one probability a class::

    {"model": "flights", "version": "0001-ab12cd34",
     "predictions": [{"id": "a", "label": "late", "probability": {"on time": 0.2, "late": 0.8}}]}

``POST /v1/models/<name>:feedback`` takes ``{"id": "a", "label": 12.5}``, a list of such objects, or
``{"labels": [...]}``, and answers ``{"model": "bike", "accepted": 1}`` when they are in the log.
"""

from __future__ import annotations

import math
import time
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from perennial.errors import RequestError
from perennial.packaging.signature import Signature
from perennial.serving.http import HttpError
from perennial.serving.segment import FeedbackRecord

MAX_ID = 256


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of ``:predict``."""

    rows: list[dict[str, Any]] | UnsetType = UNSET
    instances: list[dict[str, Any]] | UnsetType = UNSET
    """Another name for ``rows``."""
    ids: list[str] | None = None


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """The truth about one prediction."""

    id: str
    label: str | bool | int | float


class Labels(msgspec.Struct, forbid_unknown_fields=True):
    """Many of them."""

    labels: list[Label]


_predict_decoder = msgspec.json.Decoder(PredictBody)
_raw_decoder = msgspec.json.Decoder(msgspec.Raw)
_encode = msgspec.json.Encoder().encode


def decode_json(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Decode a body.

    Raises:
        HttpError: 400 where it is no JSON, 422 where it is JSON of another shape.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise HttpError(422, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, f"the body is no JSON: {error}") from None


def decode_predict(body: bytes, max_rows: int) -> tuple[list[dict[str, Any]], list[str] | None]:
    """Read rows and ids.

    Raises:
        HttpError: 400 or 422, saying what is wrong.
    """
    parsed: PredictBody = decode_json(_predict_decoder, body)
    rows = parsed.instances if isinstance(parsed.rows, UnsetType) else parsed.rows
    if isinstance(rows, UnsetType):
        raise HttpError(422, 'rows is missing: send {"rows": [{"<field>": <value>, ...}]}')
    if not rows:
        raise HttpError(422, "rows is empty")
    if len(rows) > max_rows:
        raise HttpError(422, f"{len(rows)} rows in one request, {max_rows} are allowed")
    if parsed.ids is not None:
        _check_ids(parsed.ids, len(rows))
    return rows, parsed.ids


def _check_ids(ids: list[str], rows: int) -> None:
    if len(ids) != rows:
        raise HttpError(422, f"{len(ids)} ids for {rows} rows")
    if len(set(ids)) != rows:
        raise HttpError(422, "an id stands twice in ids")
    for name in ids:
        if not 0 < len(name) <= MAX_ID:
            raise HttpError(422, f"an id has 1 to {MAX_ID} characters")


def predictions(
    signature: Signature, ids: list[str], output: NDArray[np.float32]
) -> list[dict[str, Any]]:
    """Write the output of a graph as predictions."""
    if signature.task == "regression":
        values = output[:, 0].tolist()
        return [{"id": i, "value": value} for i, value in zip(ids, values, strict=True)]
    if signature.task == "binary":
        second = output.astype(np.float64)
        output = np.hstack([1.0 - second, second])
    chosen = output.argmax(axis=1).tolist()
    classes = signature.classes
    return [
        {"id": i, "label": classes[c], "probability": dict(zip(classes, row, strict=True))}
        for i, c, row in zip(ids, chosen, output.tolist(), strict=True)
    ]


def decode_feedback(body: bytes, signature: Signature | None, max_rows: int) -> list[Label]:
    """Read labels in any of their shapes.

    Args:
        signature: of the model that was asked, where one is known: a regression's label must be a
            number.

    Raises:
        HttpError: 400 or 422, saying what is wrong.
        RequestError: a label does not fit the task.
    """
    labels = _labels(body)
    if not labels:
        raise HttpError(422, "labels is empty")
    if len(labels) > max_rows:
        raise HttpError(422, f"{len(labels)} labels in one request, {max_rows} are allowed")
    for label in labels:
        if not 0 < len(label.id) <= MAX_ID:
            raise HttpError(422, f"an id has 1 to {MAX_ID} characters")
        if signature is not None and signature.task == "regression":
            _check_number(label)
    return labels


_label_list_decoder = msgspec.json.Decoder(list[Label])
_label_or_labels: tuple[msgspec.json.Decoder[Any], ...] = (
    msgspec.json.Decoder(Labels),
    msgspec.json.Decoder(Label),
)


def _labels(body: bytes) -> list[Label]:
    shape = bytes(decode_json(_raw_decoder, body)).lstrip()[:1]
    if shape == b"[":
        many: list[Label] = decode_json(_label_list_decoder, body)
        return many
    is_many = b'"labels"' in body
    parsed = decode_json(_label_or_labels[0 if is_many else 1], body)
    return parsed.labels if isinstance(parsed, Labels) else [parsed]


def _check_number(label: Label) -> None:
    value = label.label
    if isinstance(value, str | bool) or not math.isfinite(value):
        raise RequestError(
            f"the label of {label.id!r} must be a number: this model predicts a number"
        )


def feedback_records(labels: list[Label]) -> list[FeedbackRecord]:
    """Bring labels into the form in which they are logged."""
    now = time.time_ns() // 1000
    return [FeedbackRecord(now, label.id, _encode(label.label).decode()) for label in labels]
