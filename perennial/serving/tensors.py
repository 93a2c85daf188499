"""Tensors of the Open Inference Protocol: JSON and binary, to columns and back.

A model takes either one input a feature, of shape [n] or [n, 1], or the inputs of its graph:
``numeric`` of shape [n, numeric features] and ``categorical`` of shape [n, categorical features].
NaN and null are a missing number; the empty string and null are a missing text.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from perennial.packaging.predictor import EncodedRows, category, no_columns
from perennial.packaging.signature import CATEGORICAL, NUMERIC, Signature
from perennial.serving.http import HttpError
from perennial.serving.request_time import RequestTime

BYTES = "BYTES"
DTYPES: dict[str, Any] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_LENGTH = struct.Struct("<I")
_MAX_DIMENSIONS = 8
_MAX_DIMENSION = 2**31

_Number = float | bool | None
_flat_numbers = msgspec.json.Decoder(list[_Number])
_number_rows = msgspec.json.Decoder(list[list[_Number]])
_flat_texts = msgspec.json.Decoder(list[str | None])
_text_rows = msgspec.json.Decoder(list[list[str | None]])


class Tensor(msgspec.Struct, frozen=True):
    """An input, decoded."""

    name: str
    shape: list[int]
    datatype: str
    numbers: NDArray[Any] | None
    """Flat; None for BYTES."""
    texts: list[str] | None
    """Flat, "" is missing; None for all but BYTES."""


def count(name: str, shape: list[int], most: int) -> int:
    """Give the number of elements of a shape.

    Args:
        most: elements that there may be.

    Raises:
        HttpError: 400, a dimension is negative or too large, or there are too many of them;
            422, there would be too many elements.
    """
    if len(shape) > _MAX_DIMENSIONS:
        raise HttpError(400, f"input {name[:200]!r}: a shape of {len(shape)} dimensions")
    if shape and not 0 <= min(shape) <= max(shape) <= _MAX_DIMENSION:
        which = "negative" if min(shape) < 0 else "too large a"
        raise HttpError(400, f"input {name[:200]!r}: the shape has a {which} dimension")
    found = math.prod(shape)
    if found > most:
        raise HttpError(422, f"input {name[:200]!r}: {found} elements, {most} are allowed")
    return found


def from_json(name: str, shape: list[int], datatype: str, data: bytes, most: int) -> Tensor:
    """Decode ``data`` of a JSON tensor, nested or flat.

    Args:
        most: elements that there may be.

    Raises:
        HttpError: 400 or 422, saying what is wrong.
    """
    wanted = count(name, shape, most)
    _check_data(name, shape, wanted, datatype, data)
    if datatype == BYTES:
        texts = ["" if v is None else v for v in _decode(name, data, _flat_texts, _text_rows)]
        _check_size(name, shape, wanted, len(texts))
        return Tensor(name, shape, datatype, None, texts)
    _dtype(name, datatype)
    numbers = np.array(_decode(name, data, _flat_numbers, _number_rows), dtype=np.float64)
    _check_size(name, shape, wanted, numbers.size)
    return Tensor(name, shape, datatype, numbers, None)


def _check_data(name: str, shape: list[int], wanted: int, datatype: str, data: bytes) -> None:
    """See, before values are made of it, that JSON holds no more of them than it says."""
    if datatype == BYTES:
        # An escaped quote stands in a text.
        found = (data.count(b'"') - data.count(b'\\"')) // 2
    else:
        found = data.count(b",") + 1
    if found > max(wanted, 1):
        raise HttpError(
            400, f"input {name[:200]!r}: {found} elements of data, shape {shape} needs {wanted}"
        )


def _decode(
    name: str, data: bytes, flat: msgspec.json.Decoder[Any], rows: msgspec.json.Decoder[Any]
) -> list[Any]:
    try:
        values: list[Any] = flat.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as first:
        try:
            return [value for row in rows.decode(data) for value in row]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise HttpError(400, f"data of input {name!r}: {first}") from None
    return values


def from_binary(name: str, shape: list[int], datatype: str, data: memoryview, most: int) -> Tensor:
    """Decode a binary tensor: little-endian, row-major; BYTES with a length before each element.

    Args:
        most: elements that there may be.

    Raises:
        HttpError: 400 or 422, saying what is wrong.
    """
    wanted = count(name, shape, most)
    if datatype == BYTES:
        texts = _split_bytes(name, data, wanted)
        _check_size(name, shape, wanted, len(texts))
        return Tensor(name, shape, datatype, None, texts)
    dtype = _dtype(name, datatype)
    if len(data) != wanted * dtype.itemsize:
        raise HttpError(
            400,
            f"input {name!r}: {len(data)} bytes of data, shape {shape} of {datatype} "
            f"needs {wanted * dtype.itemsize}",
        )
    return Tensor(name, shape, datatype, np.frombuffer(data, dtype), None)


def _split_bytes(name: str, data: memoryview, wanted: int) -> list[str]:
    """Give the elements; one more than wanted where there are more."""
    texts: list[str] = []
    at = 0
    while at < len(data) and len(texts) <= wanted:
        if at + _LENGTH.size > len(data):
            raise HttpError(400, f"input {name!r}: a BYTES element is cut off")
        end = at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0]
        if end > len(data):
            raise HttpError(400, f"input {name!r}: a BYTES element is cut off")
        try:
            texts.append(str(data[at + _LENGTH.size : end], "utf-8"))
        except UnicodeDecodeError:
            raise HttpError(400, f"input {name!r}: a BYTES element is no UTF-8") from None
        at = end
    return texts


def _dtype(name: str, datatype: str) -> Any:
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise HttpError(
            400, f"input {name!r}: datatype {datatype[:50]!r} is none of {', '.join(DTYPES)}, BYTES"
        )
    return dtype


def _check_size(name: str, shape: list[int], wanted: int, found: int) -> None:
    if wanted != found:
        raise HttpError(
            400, f"input {name!r}: {found} elements of data, shape {shape} needs {wanted}"
        )


class TensorEncoder:
    """Inputs of a request to the columns of one model. Build it once, use it for every request."""

    def __init__(self, signature: Signature) -> None:
        self._numeric = signature.numeric
        self._categorical = signature.categorical
        self._context = signature.context
        self._time = RequestTime.of(signature)
        # A feature of the same name wins over the matrix.
        self._has_numeric_matrix = bool(self._numeric) and NUMERIC not in self._numeric
        self._is_one_matrix = self._has_numeric_matrix and not self._categorical
        self._has_text_matrix = bool(self._categorical) and CATEGORICAL not in self._categorical

    def encode(self, tensors: dict[str, Tensor], max_rows: int) -> EncodedRows:
        """Bring the inputs of a request into columns.

        Raises:
            HttpError: 400 for an input that is missing, unknown or of a wrong shape or datatype,
                422 for too many rows.
            RequestError: a time is none.
        """
        rows = _count_rows(tensors, max_rows)
        if self._is_one_matrix and NUMERIC in tensors and len(tensors) == 1:
            # The most frequent request of all, without the detours.
            numbers = self._matrix(tensors[NUMERIC], rows)
            return EncodedRows(numbers, no_columns(rows), [])
        left = dict(tensors)
        encoded = EncodedRows(
            self._numbers(left, rows), self._texts(left, rows), self._contexts(left, rows)
        )
        if left:
            raise HttpError(
                400, f"unknown input {min(left)[:200]!r}; the model takes {self._in_words()}"
            )
        return encoded

    def _numbers(self, left: dict[str, Tensor], rows: int) -> NDArray[Any]:
        width = len(self._numeric)
        if self._has_numeric_matrix and NUMERIC in left:
            return self._matrix(left.pop(NUMERIC), rows)
        columns = np.empty((rows, width), dtype=np.float64)
        for index, name in enumerate(self._numeric):
            columns[:, index] = _numbers(self._column(left, name, rows))
        return columns

    def _matrix(self, tensor: Tensor, rows: int) -> NDArray[Any]:
        width = len(self._numeric)
        _check_shape(tensor, [rows, width])
        return _numbers(tensor).reshape(rows, width)

    def _texts(self, left: dict[str, Tensor], rows: int) -> NDArray[Any]:
        width = len(self._categorical)
        if self._has_text_matrix and CATEGORICAL in left:
            matrix = left.pop(CATEGORICAL)
            _check_shape(matrix, [rows, width])
            array: NDArray[Any] = np.array(_texts(matrix), dtype=object).reshape(rows, width)
            return array
        array = np.empty((rows, width), dtype=object)
        for index, name in enumerate(self._categorical):
            array[:, index] = _texts(self._column(left, name, rows))
        return array

    def _contexts(self, left: dict[str, Tensor], rows: int) -> list[list[str | None]]:
        given = {name: left.pop(name) for name in self._context if name in left}
        if not given:
            return []
        for tensor in given.values():
            _check_column(tensor, rows)
        texts = {name: _texts(tensor) for name, tensor in given.items()}
        nothing = [""] * rows
        columns = [texts.get(name, nothing) for name in self._context]
        found = [[value or None for value in row] for row in zip(*columns, strict=True)]
        if self._time is not None:
            self._time.check(found)
        return found

    def _column(self, left: dict[str, Tensor], name: str, rows: int) -> Tensor:
        tensor = left.pop(name, None)
        if tensor is None:
            raise HttpError(400, f"input {name!r} is missing; the model takes {self._in_words()}")
        _check_column(tensor, rows)
        return tensor

    def _in_words(self) -> str:
        matrices = [
            f"{name} [n, {len(columns)}]"
            for name, columns in ((NUMERIC, self._numeric), (CATEGORICAL, self._categorical))
            if columns
        ]
        names = ", ".join((*self._numeric, *self._categorical))
        return f"one input a feature ({names}) or {' and '.join(matrices)}"


def _count_rows(tensors: dict[str, Tensor], max_rows: int) -> int:
    found = 0
    for tensor in tensors.values():
        rows = tensor.shape[0] if tensor.shape else 0
        if found not in (0, rows):
            raise HttpError(400, f"the inputs have different numbers of rows: {found}, {rows}")
        found = rows
    if found == 0:
        raise HttpError(400, "inputs: at least one row is needed")
    if found > max_rows:
        raise HttpError(422, f"{found} rows in one request, {max_rows} are allowed")
    return found


def _numbers(tensor: Tensor) -> NDArray[Any]:
    if tensor.numbers is None:
        raise HttpError(400, f"input {tensor.name[:200]!r} must be numbers, not BYTES")
    if tensor.numbers.dtype == np.float32:
        return tensor.numbers
    return tensor.numbers.astype(np.float64, copy=False)


def _texts(tensor: Tensor) -> list[str]:
    if tensor.texts is not None:
        return tensor.texts
    values: list[Any] = [] if tensor.numbers is None else tensor.numbers.tolist()
    if tensor.datatype == "BOOL":
        values = [value if math.isnan(value) else bool(value) for value in values]
    return [category(value, row, tensor.name) for row, value in enumerate(values)]


def _check_column(tensor: Tensor, rows: int) -> None:
    if tensor.shape != [rows]:
        _check_shape(tensor, [rows, 1])


def _check_shape(tensor: Tensor, wanted: list[int]) -> None:
    if tensor.shape != wanted:
        raise HttpError(
            400, f"input {tensor.name[:200]!r} has shape {tensor.shape}, {wanted} was expected"
        )


def pack_bytes(texts: list[str]) -> bytes:
    """Write BYTES elements in their binary form."""
    encoded = [text.encode() for text in texts]
    return b"".join(_LENGTH.pack(len(data)) + data for data in encoded)
