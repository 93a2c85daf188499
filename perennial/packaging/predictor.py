"""Run a packaged graph, and bring rows or frames into its two inputs.

One code path for everybody: the server, the gate, the parity check and batch scoring encode and
predict here, so that a model sees the same values wherever it is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from perennial.errors import ModelError, RequestError
from perennial.packaging.signature import (
    CATEGORICAL,
    NUMERIC,
    OUTPUT,
    Signature,
    canonical_label,
)
from perennial.packaging.vetting import vet_graph

if TYPE_CHECKING:
    import pandas as pd

_INPUT_TYPES = {NUMERIC: "tensor(float)", CATEGORICAL: "tensor(string)"}
_NAMES_IN_ERROR = 10

# onnxruntime warns about shapes on stderr; what matters is raised.
ort.set_default_logger_severity(3)


class Predictor:
    """A packaged graph in memory, ready to answer. Safe to share between threads.

    Args:
        model_bytes: the ONNX file.
        signature: what the graph takes and gives.
        threads: threads onnxruntime may use for one call.

    Raises:
        ModelError: the bytes are no graph that may be loaded (`vet_graph`), or its inputs and
            output are not the signature's.
    """

    def __init__(self, model_bytes: bytes, signature: Signature, threads: int = 1) -> None:
        vet_graph(model_bytes)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        # A server holds many models: memory goes back when a big batch is done.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                model_bytes, options, providers=["CPUExecutionProvider"]
            )
        # onnxruntime has no base class of its own for what a broken graph raises.
        except Exception as error:
            raise ModelError(f"the model cannot be loaded: {_first_line(error)}") from error
        self.signature = signature
        self._width = signature.width
        wanted = _check_interface(self._session, signature)
        self._takes_numeric, self._takes_categorical = NUMERIC in wanted, CATEGORICAL in wanted

    def predict(
        self, numeric: NDArray[Any] | None, categorical: NDArray[Any] | None
    ) -> NDArray[np.float32]:
        """Answer rows.

        Args:
            numeric: float32 (rows, numeric features), NaN is missing; None where there are none.
            categorical: object array of str (rows, categorical features), "" is missing; None
                where there are none.

        Returns:
            float32 of shape (rows, `Signature.width`).

        Raises:
            ModelError: the graph fails, or gives another shape.
        """
        return self.run((OUTPUT,), numeric, categorical)[0]

    def run(
        self,
        outputs: Sequence[str],
        numeric: NDArray[Any] | None,
        categorical: NDArray[Any] | None,
    ) -> list[NDArray[np.float32]]:
        """Give several outputs of the graph for the same rows; arguments, errors and each shape as
        `predict`."""
        feed = {}
        if self._takes_numeric:
            feed[NUMERIC] = numeric
        if self._takes_categorical:
            feed[CATEGORICAL] = categorical
        try:
            answers: list[NDArray[np.float32]] = self._session.run(outputs, feed)
        except Exception as error:
            raise ModelError(f"the model failed: {_first_line(error)}") from error
        rows = len(numeric if numeric is not None else categorical)  # type: ignore[arg-type]
        for answer in answers:
            if answer.shape != (rows, self._width):
                raise ModelError(
                    f"the model answered shape {answer.shape}, ({rows}, {self._width}) was expected"
                )
        return answers


@dataclass(frozen=True, eq=False)
class Packaged:
    """A packaged graph with what it takes and gives, loaded once it is asked."""

    graph: bytes
    signature: Signature

    @cached_property
    def predictor(self) -> Predictor:
        """What answers.

        Raises:
            ModelError: as `Predictor`.
        """
        return Predictor(self.graph, self.signature)


def _check_interface(session: Any, signature: Signature) -> tuple[str, ...]:
    """Return the names of the inputs to feed."""
    wanted = {
        name: len(columns)
        for name, columns in ((NUMERIC, signature.numeric), (CATEGORICAL, signature.categorical))
        if columns
    }
    found = {i.name: (i.type, i.shape) for i in session.get_inputs()}
    if not wanted or set(found) != set(wanted):
        raise ModelError(
            f"the model takes the inputs {sorted(found)}, its signature says {sorted(wanted)}"
        )
    for name, columns in wanted.items():
        kind, shape = found[name]
        if kind != _INPUT_TYPES[name] or len(shape) != 2 or shape[1] not in (columns, None):
            raise ModelError(
                f"the model's input {name} is {kind}{shape}, "
                f"{_INPUT_TYPES[name]}[rows, {columns}] was expected"
            )
    outputs = {o.name: o.type for o in session.get_outputs()}
    if outputs.get(OUTPUT) != "tensor(float)":
        raise ModelError(f"the model gives {outputs}, {OUTPUT} of type tensor(float) was expected")
    return tuple(wanted)


class EncodedRows(NamedTuple):
    """Rows as columns: what goes into the graph, and what goes into the log."""

    numeric: NDArray[Any]
    """float64 (or float32, as it was sent) of shape (rows, numeric features), NaN is missing."""
    categorical: NDArray[Any]
    """Object array of str (rows, categorical features), "" is missing."""
    context: list[list[str | None]]
    """One list a row, in the order of `Signature.context`; empty where the signature has none."""

    def inputs(self) -> tuple[NDArray[np.float32] | None, NDArray[Any] | None]:
        """Give the two inputs of `Predictor.predict`."""
        numeric = self.numeric.astype(np.float32, copy=False) if self.numeric.shape[1] else None
        return numeric, self.categorical if self.categorical.shape[1] else None

    def refuse_infinite(self, signature: Signature) -> None:
        """See that a float32 holds every number.

        Raises:
            RequestError: one is beyond it; the message names row and field.
        """
        with np.errstate(over="ignore"):
            beyond = np.isinf(self.numeric.astype(np.float32, copy=False))
        if beyond.any():
            row, column = np.argwhere(beyond)[0]
            raise RequestError(
                f"row {row}: field {signature.numeric[column]!r} is beyond what a float32 holds"
            )


class RowEncoder:
    """Named fields to columns, for one signature. Build it once, use it for every request."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        self._numeric = signature.numeric
        self._categorical = signature.categorical
        self._context = signature.context
        self._fields = frozenset(self._numeric) | set(self._categorical) | set(self._context)

    def encode(self, rows: Sequence[Any]) -> EncodedRows:
        """Bring rows into columns.

        A missing field and null are a missing value. In a numeric field true is 1.0 and false 0.0;
        in a categorical field a number or bool is taken as `canonical_label` writes it.

        Args:
            rows: one mapping a row, with features and context fields by name.

        Raises:
            RequestError: a row is no mapping, a field is unknown, or a value has a wrong type;
                the message names row and field.
        """
        numeric: list[list[float]] = []
        categorical: list[list[str]] = []
        context: list[list[str | None]] = []
        fields = self._fields
        for index, row in enumerate(rows):
            if type(row) is not dict or not fields.issuperset(row):
                self._refuse_shape(index, row)
            get = row.get
            numeric.append(
                [
                    v if type(v) is float else _number(v, index, name)
                    for name in self._numeric
                    for v in (get(name),)
                ]
            )
            categorical.append(
                [
                    v if type(v) is str else category(v, index, name)
                    for name in self._categorical
                    for v in (get(name),)
                ]
            )
            if self._context:
                context.append([_context(get(name), index, name) for name in self._context])
        return EncodedRows(
            np.array(numeric, dtype=np.float64).reshape(len(rows), len(self._numeric)),
            object_array(categorical, len(self._categorical)),
            context,
        )

    def _refuse_shape(self, index: int, row: object) -> None:
        if not isinstance(row, Mapping):
            raise RequestError(
                f"row {index}: an object of named fields is expected, not {_type_name(row)}"
            )
        unknown = sorted(str(name) for name in set(row) - self._fields)
        if unknown:
            known = ", ".join(f.name for f in self.signature.features)
            raise RequestError(
                f"row {index}: unknown field{'s' * (len(unknown) > 1)} "
                f"{_listed(unknown)}; the model knows {known}"
            )


def encode_frame(
    signature: Signature, frame: pd.DataFrame
) -> tuple[NDArray[np.float32] | None, NDArray[Any] | None]:
    """Bring the feature columns of a frame into the inputs of `Predictor.predict`.

    Columns that are no features are passed over; a feature without a column is missing throughout.

    Raises:
        RequestError: a numeric feature's column holds something else than numbers and bools.
    """
    numeric = np.full((len(frame), len(signature.numeric)), np.nan, dtype=np.float32)
    for index, name in enumerate(signature.numeric):
        if name in frame:
            with np.errstate(over="ignore"):
                numeric[:, index] = _numeric_column(frame[name])
    categorical = np.full((len(frame), len(signature.categorical)), "", dtype=object)
    for index, name in enumerate(signature.categorical):
        if name in frame:
            categorical[:, index] = _categorical_column(frame[name])
    return (
        numeric if signature.numeric else None,
        categorical if signature.categorical else None,
    )


def _numeric_column(column: pd.Series[Any]) -> NDArray[np.float64]:
    import pandas as pd

    is_number = pd.api.types.is_numeric_dtype(column.dtype)  # bool counts as one
    if not is_number and pd.api.types.infer_dtype(column, skipna=True) not in _NUMBERS:
        raise RequestError(f"column {column.name!r} must hold numbers, it holds {column.dtype}")
    values: NDArray[np.float64] = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def _categorical_column(column: pd.Series[Any]) -> list[str]:
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    missing = column.isna().to_numpy()
    values = column.tolist()
    return [
        "" if absent else value if type(value) is str else canonical_label(value)
        for value, absent in zip(values, missing, strict=True)
    ]


_NUMBERS = {"boolean", "integer", "floating", "mixed-integer-float", "decimal", "empty"}


def predicted_labels(signature: Signature, output: NDArray[Any]) -> list[str]:
    """Name the class that each output row votes for: at one half, the second of two."""
    if output.shape[1] == 1:
        first, second = signature.classes
        return [second if value >= 0.5 else first for value in output[:, 0].tolist()]
    return [signature.classes[index] for index in output.argmax(axis=1).tolist()]


_NO_COLUMNS = np.empty((1, 0), dtype=object)


def no_columns(rows: int) -> NDArray[Any]:
    """Make the ``categorical`` part of `EncodedRows` for a model without categorical features."""
    return _NO_COLUMNS if rows == 1 else np.empty((rows, 0), dtype=object)


def object_array(rows: list[list[str]], columns: int) -> NDArray[Any]:
    """Make the ``categorical`` input from one list a row."""
    if columns == 0:
        return no_columns(len(rows))
    return np.array(rows, dtype=object).reshape(len(rows), columns)


def _number(value: object, row: int, name: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool | int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    raise RequestError(
        f"row {row}: field {name!r} must be a number or bool, not {_type_name(value)}"
    )


def category(value: object, row: int, name: str) -> str:
    """Write a value of a categorical field as the model knows it, "" for a missing one.

    Raises:
        RequestError: it is an object or an array, or infinite.
    """
    if value is None:
        return ""
    if isinstance(value, str | bool | int | float):
        if isinstance(value, float) and math.isinf(value):
            raise RequestError(f"row {row}: field {name!r} is beyond what a number can be")
        missing = isinstance(value, float) and math.isnan(value)
        return "" if missing else canonical_label(value)
    raise RequestError(
        f"row {row}: field {name!r} must be a string, number or bool, not {_type_name(value)}"
    )


def _context(value: object, row: int, name: str) -> str | None:
    return None if value is None else category(value, row, name) or None


def _type_name(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a bool"}
    names |= {int: "a number", float: "a number"}
    if value is None:
        return "null"
    return names.get(type(value), f"a {type(value).__name__}")


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name[:100]) for name in names[:_NAMES_IN_ERROR])
    more = len(names) - _NAMES_IN_ERROR
    return f"{shown} and {more} more" if more > 0 else shown


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
