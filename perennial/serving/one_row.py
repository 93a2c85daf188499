"""Requests for one row, the most frequent ones: read into few objects, answered from few bytes.

A body that is not plain (several rows, nested data, binary tensors, anything wrong) gives None here
and goes the general way, by `perennial.serving.oip` and `perennial.serving.rows`. Both ways mean
the same.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from perennial.packaging.predictor import (
    EncodedRows,
    no_columns,
    object_array,
    predicted_labels,
)
from perennial.packaging.signature import CATEGORICAL, NUMERIC, OUTPUT, Signature
from perennial.serving.http import encode_json
from perennial.serving.rows import MAX_ID, RowDecoder, predictions
from perennial.serving.tensors import BYTES, DTYPES

_NAN = struct.pack("d", math.nan)


class OneRow(msgspec.Struct, gc=False):
    """A row, read."""

    id: str
    """As sent; empty where none was."""
    numeric: bytes
    """float64 of each numeric feature, NaN is missing."""
    categorical: list[str] | None
    """"" is missing; None: the model has no categorical features."""
    context: list[str | None] | None
    missing: dict[str, int] | None = None
    """As `DecodedRows.missing`; None: nothing was left out."""


class _Input(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    name: str
    shape: list[int]
    datatype: str
    data: list[float | str | None]


class _Infer(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    inputs: list[_Input]
    id: str = ""


_decode = msgspec.json.Decoder(_Infer).decode


class OneRowReader:
    """Reads bodies for one signature."""

    def __init__(self, signature: Signature, rows: RowDecoder) -> None:
        width, texts = len(signature.numeric), len(signature.categorical)
        self._rows = rows
        self._pack = struct.Struct(f"{width}d").pack
        # A feature of the same name wins over the matrix.
        self._numeric_shape = [1, width] if NUMERIC not in signature.numeric else None
        self._text_shape = [1, texts] if CATEGORICAL not in signature.categorical else None
        self._inputs = (width > 0) + (texts > 0)
        self._width, self._texts = width, texts
        self._no_context: list[str | None] = [None] * len(signature.context)

    def named(self, body: bytes) -> OneRow | None:
        """Read a body of ``:predict``."""
        found = self._rows.decode_one(body)
        if found is None:
            return None
        name, values, categorical, context = found
        packed = self._pack_numbers(values[: self._width])
        if packed is None or len(name) > MAX_ID:
            return None
        row = OneRow(name, packed, categorical, context)
        # Only a row with a gap can have left something out: most are not looked at for it.
        if _NAN in packed or (categorical and "" in categorical):
            row.missing = self._rows.left_out([values]) or None
        return row

    def tensor(self, body: bytes) -> OneRow | None:
        """Read a body of ``/infer`` that is JSON and holds the inputs of the graph."""
        try:
            parsed = _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if len(parsed.inputs) != self._inputs or len(parsed.id) > MAX_ID:
            return None
        numeric: bytes | None = None
        texts: list[str] | None = None
        for given in parsed.inputs:
            if given.name == NUMERIC and given.shape == self._numeric_shape:
                numeric = self._pack_numbers(given.data) if given.datatype in DTYPES else None
            elif given.name == CATEGORICAL and given.shape == self._text_shape:
                texts = self._pick_texts(given.data) if given.datatype == BYTES else None
        if (numeric is not None) + (texts is not None) != self._inputs:
            return None
        return OneRow(parsed.id, numeric or b"", texts, None)

    def columns(self, rows: list[OneRow]) -> EncodedRows:
        """Bring rows of many requests into the columns of the model."""
        numbers = np.frombuffer(b"".join([row.numeric for row in rows]), np.float64)
        texts = [row.categorical for row in rows if row.categorical is not None]
        context = []
        if self._no_context:
            context = [row.context or self._no_context for row in rows]
        categories = object_array(texts, self._texts) if self._texts else no_columns(len(rows))
        return EncodedRows(numbers.reshape(len(rows), self._width), categories, context)

    def _pack_numbers(self, values: Any) -> bytes | None:
        try:
            return self._pack(*values)
        except struct.error:
            pass
        try:
            return self._pack(*(math.nan if value in (None, UNSET) else value for value in values))
        except struct.error:
            return None

    def _pick_texts(self, values: list[Any]) -> list[str] | None:
        texts = ["" if value is None else value for value in values]
        are_texts = len(texts) == self._texts and all(type(value) is str for value in texts)
        return texts if are_texts else None


class OneRowWriter:
    """Writes the answers of one model, each for one row."""

    def __init__(self, pipeline: str, version: str, signature: Signature) -> None:
        name, release = encode_json(pipeline), encode_json(version)
        self._signature = signature
        self._infer = b'{"model_name":%b,"model_version":%b,"id":' % (name, release)
        self._tensor = b',"outputs":[{"name":"%b","datatype":"FP32","shape":[1,%d],"data":' % (
            OUTPUT.encode(),
            signature.width,
        )
        self._named = b'{"model":%b,"version":%b,"predictions":[' % (name, release)

    def tensors(self, ids: list[str], output: NDArray[np.float32]) -> list[bytes]:
        """Write answers of ``/infer``, in JSON; one a row of the output."""
        start, middle = self._infer, self._tensor
        ends = self._ends(output)
        return [
            b"%b%b%b%b%b" % (start, encode_json(name), middle, encode_json(values), end)
            for name, values, end in zip(ids, output.tolist(), ends, strict=True)
        ]

    def _ends(self, output: NDArray[np.float32]) -> list[bytes]:
        if not self._signature.classes:
            return [b"}]}"] * len(output)
        label = b'},{"name":"label","datatype":"BYTES","shape":[1,1],"data":[%b]}]}'
        return [label % encode_json(value) for value in predicted_labels(self._signature, output)]

    def named(
        self,
        ids: list[str],
        output: NDArray[np.float32],
        missing: list[dict[str, int] | None],
    ) -> list[bytes]:
        """Write answers of ``:predict``; one a row of the output."""
        start = self._named
        return [
            b"%b%b%b" % (start, encode_json(prediction), _end(left_out))
            for prediction, left_out in zip(
                predictions(self._signature, ids, output), missing, strict=True
            )
        ]


def _end(missing: dict[str, int] | None) -> bytes:
    return b"]}" if missing is None else b'],"missing":%b}' % encode_json(missing)
