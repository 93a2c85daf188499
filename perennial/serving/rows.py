"""The friendly route: rows as named fields in, predictions out.

``POST /v1/models/<name>:predict``::

    {"rows": [{"temp": 0.3, "weather": "mist"}, ...], "ids": ["a", ...]}

``ids`` may be left out, then the server makes them. Regression answers::

    {"model": "bike", "version": "0001-ab12cd34",
     "predictions": [{"id": "a", "value": 12.5}, ...]}

and classification, with one probability a class::

    {"model": "flights", "version": "0001-ab12cd34",
     "predictions": [{"id": "a", "label": "late", "probability": {"on time": 0.2, "late": 0.8}}]}

A field of numbers takes numbers and bools (1 and 0), a field of text takes text, numbers and bools
(written as `canonical_label` writes them); null, and in text the empty string, is a missing value,
and nothing else is converted. So is a field that is left out, and then the answer says of which and
in how many rows: ``"missing": {"temp": 1}``.
"""

from __future__ import annotations

import json
import struct
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
from perennial.serving.request_time import RequestTime

MAX_ID = 256
EXPLAINED = 4 * 1024 * 1024
"""Bytes of a body beyond which it is not read again, into dicts, to say what is wrong with it."""

_Number = float | bool | None | UnsetType
_Text = str | int | float | bool | None | UnsetType


class _AnyRows(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[dict[str, Any]] | UnsetType = UNSET
    instances: list[dict[str, Any]] | UnsetType = UNSET
    ids: list[str] | None = None


class DecodedRows(msgspec.Struct, frozen=True):
    """A body of ``:predict``."""

    encoded: EncodedRows
    ids: list[str] | None
    missing: dict[str, int]
    """Rows in which a feature was left out, by feature."""


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
        self._time = RequestTime.of(signature)
        row = msgspec.defstruct(
            "Row",
            [
                (f"f{i}", _Number if i < self._numeric else _Text, UNSET)
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
        check_objects(data, max_rows)
        try:
            body = self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            if len(data) > EXPLAINED:
                body = decode_json(self._decoder, data)
            else:
                return self.decode_slowly(data, max_rows)
        rows = _check(body, max_rows)
        values = [msgspec.structs.astuple(row) for row in rows]
        missing: dict[str, int] = {}
        try:
            numbers, categories = self._numbers(values), self._categories(values)
        except (TypeError, struct.error, RequestError):  # a field is UNSET
            missing = self.left_out(values)
            filled = [tuple(None if v is UNSET else v for v in row) for row in values]
            numbers, categories = self._numbers(filled), self._categories(filled)
        contexts = self._contexts(values)
        if self._time is not None:
            self._time.check(contexts)
        encoded = EncodedRows(numbers, object_array(categories, self._categorical), contexts)
        return DecodedRows(encoded, body.ids, missing)

    def decode_one(
        self, data: bytes
    ) -> tuple[str, tuple[Any, ...], list[str] | None, list[str | None] | None] | None:
        """Read a body of one row without building arrays.

        Returns:
            Id ("" where none was sent), the values of all fields (None is missing, UNSET was left
            out), categories and context; None where the body is not plain: it is for `decode`.
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
        categories = None
        if self._categorical:
            categories = [
                v if type(v) is str else "" if v is UNSET else category(v, 0, "")
                for v in values[self._numeric : self._texts]
            ]
        context = self._contexts([values])[0] if self._has_context else None
        if self._time is not None and context is not None and not self._time.fits(context):
            return None
        return name, values, categories, context

    def left_out(self, rows: list[tuple[Any, ...]]) -> dict[str, int]:
        """Count the rows in which a feature was left out, by feature; of none there is no entry."""
        counts = {
            name: sum(row[at] is UNSET for row in rows)
            for at, name in enumerate(self._names[: self._texts])
        }
        return {name: count for name, count in counts.items() if count}

    def decode_slowly(self, data: bytes, max_rows: int) -> DecodedRows:
        """Do the same by way of dicts, with the better messages."""
        try:
            body = decode_json(_any_rows, data)
        except HttpError as error:
            if error.status == 422:
                self._explain(data)
            raise
        rows = _check(body, max_rows)
        encoded = self._encoder.encode(rows)
        if self._time is not None:
            self._time.check(encoded.context)
        features = self._names[: self._texts]
        counts = {name: sum(name not in row for row in rows) for name in features}
        missing = {name: count for name, count in counts.items() if count}
        return DecodedRows(encoded, body.ids, missing)

    def _explain(self, data: bytes) -> None:
        """Say which field is at fault, where a row of a body that msgspec refuses is."""
        try:
            body: Any = json.loads(data)
        except (ValueError, RecursionError):
            return
        rows = body.get("rows", body.get("instances")) if isinstance(body, dict) else None
        if isinstance(rows, list):
            self._encoder.encode(rows).refuse_infinite(self._encoder.signature)

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
            [
                None if v is None or v is UNSET else category(v, 0, "") or None
                for v in row[self._texts :]
            ]
            for row in values
        ]


_any_rows = msgspec.json.Decoder(_AnyRows)


def check_objects(body: bytes, most: int) -> None:
    """See, before any is made of it, that a body holds no more objects than may be.

    A brace in a text counts as well: hence four times as many may stand there.

    Raises:
        HttpError: 422, there are more.
    """
    found = body.count(b"{")
    if found > 4 * most + 100:
        raise HttpError(422, f"{found} objects in one request, {most} are allowed")


def decode_json(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Decode a body.

    Raises:
        HttpError: 400 where it is no JSON, 422 where it is JSON of another shape.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        # "$" is msgspec's name for the body.
        where = str(error).replace("`$.", "`").replace("`$[", "`body[")
        raise HttpError(422, where) from None
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
