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
import struct
import time
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from perennial.errors import RequestError
from perennial.packaging.predictor import (
    EncodedRows,
    RowEncoder,
    category,
    object_array,
    predicted_labels,
)
from perennial.packaging.signature import Signature
from perennial.serving.http import HttpError
from perennial.serving.segment import FeedbackRecord

MAX_ID = 256
_LARGEST = 2**63 - 1

_Number = float | bool | None
_Text = str | int | float | bool | None


class _AnyRows(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[dict[str, Any]] | UnsetType = UNSET
    instances: list[dict[str, Any]] | UnsetType = UNSET
    ids: list[str] | None = None


class DecodedRows(msgspec.Struct, frozen=True):
    """A body of ``:predict``."""

    encoded: EncodedRows
    ids: list[str] | None


class RowDecoder:
    """Reads bodies of ``:predict`` for one signature.

    The fields are compiled into a msgspec type, so that rows are decoded and checked in C. Where
    that refuses a body, `RowEncoder` says in words what is wrong with it.
    """

    def __init__(self, signature: Signature) -> None:
        self._numeric = len(signature.numeric)
        self._texts = len(signature.numeric) + len(signature.categorical)
        self._categorical = len(signature.categorical)
        self._pack = struct.Struct(f"{self._numeric}d").pack
        self._has_context = bool(signature.context)
        self._names = (*signature.numeric, *signature.categorical, *signature.context)
        self._encoder = RowEncoder(signature)
        row = msgspec.defstruct(
            "Row",
            [
                (f"f{i}", _Number if i < self._numeric else _Text, None)
                for i in range(len(self._names))
            ],
            rename={f"f{i}": name for i, name in enumerate(self._names)},
            forbid_unknown_fields=True,
            gc=False,
        )
        body = msgspec.defstruct(
            "Body",
            [
                ("rows", list[row] | UnsetType, UNSET),  # type: ignore[valid-type]
                ("instances", list[row] | UnsetType, UNSET),  # type: ignore[valid-type]
                ("ids", list[str] | None, None),
            ],
            forbid_unknown_fields=True,
        )
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)

    def decode(self, data: bytes, max_rows: int) -> DecodedRows:
        """Read and encode the rows of a body.

        Raises:
            HttpError: 400 where it is no JSON, 422 where it has another shape.
            RequestError: a row does not fit the signature.
        """
        try:
            body = self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return self.decode_slowly(data, max_rows)
        rows = _check(body, max_rows)
        values = [msgspec.structs.astuple(row) for row in rows]
        return DecodedRows(
            EncodedRows(
                self._numbers(values),
                object_array(self._categories(values), self._categorical),
                self._contexts(values),
            ),
            body.ids,
        )

    def decode_one(
        self, data: bytes
    ) -> tuple[str, tuple[Any, ...], list[str] | None, list[str | None] | None] | None:
        """Read a body of one row without building arrays.

        Returns:
            Id ("" where none was sent), numbers (None is missing), categories and context; None
            where the body is not plain: it is for `decode`.
        """
        try:
            body = self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        rows = body.rows
        if rows is UNSET or len(rows) != 1 or (body.ids is not None and len(body.ids) != 1):
            return None
        name = "" if body.ids is None else body.ids[0]
        if not name and body.ids is not None:
            return None
        values = msgspec.structs.astuple(rows[0])
        categories = self._categories([values])[0] if self._categorical else None
        context = self._contexts([values])[0] if self._has_context else None
        return name, values[: self._numeric], categories, context

    def decode_slowly(self, data: bytes, max_rows: int) -> DecodedRows:
        """Do the same by way of dicts, with the better messages."""
        body = decode_json(_any_rows, data)
        rows = _check(body, max_rows)
        return DecodedRows(self._encoder.encode(rows), body.ids)

    def _numbers(self, values: list[tuple[Any, ...]]) -> NDArray[np.float64]:
        width = self._numeric
        if len(values) == 1 and None not in values[0][:width]:
            # Half as long as the general way, and most requests have one row.
            return np.ndarray((1, width), np.float64, self._pack(*values[0][:width]))
        return np.array([v[:width] for v in values], dtype=np.float64).reshape(len(values), width)

    def _categories(self, values: list[tuple[Any, ...]]) -> list[list[str]]:
        start, stop = self._numeric, self._texts
        return [
            [v if type(v) is str else category(v, 0, "") for v in row[start:stop]] for row in values
        ]

    def _contexts(self, values: list[tuple[Any, ...]]) -> list[list[str | None]]:
        if not self._has_context:
            return []
        return [
            [None if v is None else category(v, 0, "") for v in row[self._texts :]]
            for row in values
        ]


_any_rows = msgspec.json.Decoder(_AnyRows)


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


def _check(body: Any, max_rows: int) -> Any:
    """Give the rows of a body."""
    rows = body.instances if body.rows is UNSET else body.rows
    if rows is UNSET:
        raise HttpError(422, 'rows is missing: send {"rows": [{"<field>": <value>, ...}]}')
    if not rows:
        raise HttpError(422, "rows is empty")
    if len(rows) > max_rows:
        raise HttpError(422, f"{len(rows)} rows in one request, {max_rows} are allowed")
    if body.ids is not None:
        check_ids(body.ids, len(rows))
    return rows


def check_ids(ids: list[str], rows: int) -> None:
    """See that every row has an id of its own.

    Raises:
        HttpError: 422, saying what is wrong.
    """
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
        if len(ids) == 1:
            return [{"id": ids[0], "value": output.item()}]
        return [{"id": i, "value": row[0]} for i, row in zip(ids, output.tolist(), strict=True)]
    chosen = predicted_labels(signature, output)
    if signature.task == "binary":
        second = output.astype(np.float64)
        probability: list[list[float]] = np.hstack([1.0 - second, second]).tolist()
    else:
        probability = output.tolist()
    return [
        {"id": i, "label": label, "probability": dict(zip(signature.classes, row, strict=True))}
        for i, label, row in zip(ids, chosen, probability, strict=True)
    ]


class Label(msgspec.Struct, forbid_unknown_fields=True):
    """The truth about one prediction."""

    id: str
    label: str | bool | int | float


class _FeedbackBody(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[Label] | UnsetType = UNSET
    id: str | UnsetType = UNSET
    label: str | bool | int | float | UnsetType = UNSET


_feedback_decoder = msgspec.json.Decoder(list[Label] | _FeedbackBody)
_encode = msgspec.json.Encoder().encode


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
        if isinstance(label.label, int) and not -_LARGEST <= label.label <= _LARGEST:
            label.label = _to_float(label)
        if signature is not None and signature.task == "regression":
            _check_number(label)
    return labels


def _labels(body: bytes) -> list[Label]:
    parsed: list[Label] | _FeedbackBody = decode_json(_feedback_decoder, body)
    if isinstance(parsed, list):
        return parsed
    if not isinstance(parsed.labels, UnsetType):
        return parsed.labels
    if isinstance(parsed.id, UnsetType) or isinstance(parsed.label, UnsetType):
        raise HttpError(422, 'send {"id": ..., "label": ...}, or a list of them')
    return [Label(parsed.id, parsed.label)]


def _to_float(label: Label) -> float:
    """Give a whole number that does not fit 64 bits in the form that JSON's readers share."""
    try:
        return float(label.label)
    except OverflowError:
        raise RequestError(f"the label of {label.id!r} is beyond what a number can be") from None


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
