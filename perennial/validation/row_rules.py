"""Rules that each row keeps or breaks, as Great Expectations has them, on whole columns at once.

Each is a function of a batch and the rule's arguments. It says which rows break the rule and on how
many it was tried: rows without a value are passed over, except where missing values are the point.
A rule that looks across rows (unique, increasing) carries what it has seen from batch to batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Kwargs = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """What a rule found in a batch."""

    bad: Mask
    """Rows that break it; of repeated values all but the first."""
    tried: int
    broken: int
    """How many rows break it in Great Expectations' count (of repeated values also the first)."""
    fault: str | None = None
    """Why the column cannot be held against the rule; then it is broken whatever ``mostly`` is."""


class RowRule(Protocol):
    """A rule over the batches of one table."""

    def add(self, frame: pd.DataFrame) -> Seen:
        """Look at the next batch."""
        ...


Condition = Callable[[pd.DataFrame, Kwargs], Seen]


@dataclass(frozen=True)
class Stateless:
    """A rule that looks at one row at a time."""

    condition: Condition
    kwargs: Kwargs

    def add(self, frame: pd.DataFrame) -> Seen:
        """As `RowRule`."""
        return self.condition(frame, self.kwargs)


def _seen(bad: Mask, tried: int, fault: str | None = None) -> Seen:
    return Seen(bad, tried, int(np.count_nonzero(bad)), fault)


def missing(column: pd.Series) -> Mask:
    """Where a column has no value."""
    mask: Mask = column.isna().to_numpy()
    return mask


def _not_null(frame: pd.DataFrame, kwargs: Kwargs) -> Seen:
    return _seen(missing(frame[kwargs["column"]]), len(frame))


def _null(frame: pd.DataFrame, kwargs: Kwargs) -> Seen:
    return _seen(~missing(frame[kwargs["column"]]), len(frame))


def _between(frame: pd.DataFrame, kwargs: Kwargs) -> Seen:
    column = frame[kwargs["column"]]
    absent = missing(column)
    tried = len(column) - int(np.count_nonzero(absent))
    values, fault = _comparable(column, absent)
    if values is None:
        return _seen(~absent, tried, fault if tried else None)
    inside = np.ones(len(column), dtype=bool)
    try:
        low, high = (_bound(column, kwargs.get(key)) for key in ("min_value", "max_value"))
        with np.errstate(invalid="ignore"):
            if low is not None:
                inside &= (values > low) if kwargs.get("strict_min") else (values >= low)
            if high is not None:
                inside &= (values < high) if kwargs.get("strict_max") else (values <= high)
    except (TypeError, ValueError):
        return _seen(~absent, tried, "the column cannot be compared with the bound")
    return _seen(~inside & ~absent, tried, fault)


def _comparable(column: pd.Series, absent: Mask) -> tuple[NDArray[Any] | None, str | None]:
    """The values as an array that compares with the bounds; None where nothing does."""
    if not pd.api.types.is_string_dtype(column.dtype):
        return _bare(column), None
    texts = np.array([isinstance(value, str) for value in column], dtype=bool)
    if not texts.any():
        return pd.to_numeric(column, errors="coerce").to_numpy(float), None
    fault = "text cannot be compared with a bound"
    if (texts | absent).all():
        return None, fault
    return pd.to_numeric(column.where(~texts), errors="coerce").to_numpy(float), fault


def _bare(column: pd.Series) -> NDArray[Any]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    values: NDArray[Any] = (
        column.to_numpy()
        if isinstance(column.dtype, np.dtype)
        else column.to_numpy(dtype=float, na_value=np.nan)
    )
    return values


def _bound(column: pd.Series, bound: Any) -> Any:
    """A bound in the column's own type."""
    if bound is None or not pd.api.types.is_datetime64_any_dtype(column.dtype):
        return bound
    moment = pd.Timestamp(bound)
    return (moment if moment.tz is None else moment.tz_convert("UTC").tz_localize(None)).to_numpy()


def _in_set(frame: pd.DataFrame, kwargs: Kwargs) -> Seen:
    column = frame[kwargs["column"]]
    absent = missing(column)
    inside = column.isin(kwargs["value_set"]).to_numpy()
    return _seen(~inside & ~absent, len(column) - int(np.count_nonzero(absent)))


def _not_in_set(frame: pd.DataFrame, kwargs: Kwargs) -> Seen:
    column = frame[kwargs["column"]]
    absent = missing(column)
    inside = column.isin(kwargs["value_set"]).to_numpy()
    return _seen(inside & ~absent, len(column) - int(np.count_nonzero(absent)))


def _lengths(frame: pd.DataFrame, kwargs: Kwargs) -> Seen:
    column = frame[kwargs["column"]]
    absent = missing(column)
    lengths = column.astype(str).str.len().to_numpy()
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    inside = np.ones(len(column), dtype=bool)
    if low is not None:
        inside &= (lengths > low) if kwargs.get("strict_min") else (lengths >= low)
    if high is not None:
        inside &= (lengths < high) if kwargs.get("strict_max") else (lengths <= high)
    return _seen(~inside & ~absent, len(column) - int(np.count_nonzero(absent)))


def _matches(frame: pd.DataFrame, kwargs: Kwargs) -> Seen:
    column = frame[kwargs["column"]]
    absent = missing(column)
    # Objects, so that Python's `re` searches, as whoever wrote the pattern expects.
    fits = column.astype(str).astype(object).str.contains(kwargs["regex"]).to_numpy(bool)
    return _seen(~fits & ~absent, len(column) - int(np.count_nonzero(absent)))


def _pair(
    compare: Callable[[pd.Series, pd.Series, Kwargs], pd.Series],
) -> Condition:
    def condition(frame: pd.DataFrame, kwargs: Kwargs) -> Seen:
        a, b = frame[kwargs["column_A"]], frame[kwargs["column_B"]]
        absent = missing(a) & missing(b)
        tried = len(a) - int(np.count_nonzero(absent))
        try:
            fits = compare(a, b, kwargs).fillna(False).to_numpy(bool)
        except TypeError:
            return _seen(~absent, tried, f"{a.name} and {b.name} cannot be compared")
        return _seen(~fits & ~absent, tried)

    return condition


def _greater(a: pd.Series, b: pd.Series, kwargs: Kwargs) -> pd.Series:
    return a >= b if kwargs.get("or_equal") else a > b


def _equal(a: pd.Series, b: pd.Series, kwargs: Kwargs) -> pd.Series:  # noqa: ARG001
    return a == b


class Unique:
    """No value (or combination of values) comes twice, over all batches.

    Keeps 8 bytes a row: a 64-bit hash, by which values are told apart.
    """

    def __init__(self, kwargs: Kwargs) -> None:
        self._columns = [kwargs["column"]] if "column" in kwargs else list(kwargs["column_list"])
        self._known = np.empty(0, dtype=np.uint64)

    def add(self, frame: pd.DataFrame) -> Seen:
        """As `RowRule`."""
        absent = np.logical_and.reduce([missing(frame[name]) for name in self._columns])
        hashes = hash_rows(frame[self._columns])
        present = np.ascontiguousarray(hashes[~absent])
        repeated = pd.Series(present).duplicated().to_numpy(copy=True)
        if len(self._known):
            repeated |= _contains(self._known, present)
        # Each value's first row counts as broken too, once, when its second one comes.
        bad = np.zeros(len(frame), dtype=bool)
        bad[~absent] = repeated
        twice, counts = np.unique(present[repeated], return_counts=True)
        earlier = np.searchsorted(self._known, twice, side="right") - np.searchsorted(
            self._known, twice, side="left"
        )
        broken = int(counts.sum() + np.count_nonzero(earlier <= 1))
        # Timsort merges two sorted runs in linear time.
        self._known = np.sort(np.concatenate([self._known, np.sort(present)]), kind="stable")
        return Seen(bad, len(present), broken)


def _contains(ordered: NDArray[np.uint64], values: NDArray[np.uint64]) -> Mask:
    place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found: Mask = ordered[place] == values
    return found


def hash_rows(frame: pd.DataFrame) -> NDArray[np.uint64]:
    """A 64-bit hash a row over its values; equal values of one type have equal hashes."""
    total = np.zeros(len(frame), dtype=np.uint64)
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_string_dtype(column.dtype):
            column = column.astype(object).where(column.notna(), None)
            try:
                codes, uniques = pd.factorize(column, use_na_sentinel=True)
                texts = pd.Series([f"{type(v).__name__}:{v}" for v in uniques], dtype=object)
                table = pd.util.hash_array(texts.to_numpy(), categorize=False)
                part = np.where(codes >= 0, table[codes] if len(table) else 0, 0).astype(np.uint64)
            except TypeError:
                part = pd.util.hash_array(column.astype(str).to_numpy(dtype=object))
        else:
            if pd.api.types.is_float_dtype(column.dtype):
                column = column + 0.0  # zero has two signs and is one value
            part = pd.util.hash_pandas_object(column, index=False).to_numpy()
        total = total * np.uint64(1_000_003) + part
    return total


class Increasing:
    """Values do not fall from row to row, over all batches."""

    def __init__(self, kwargs: Kwargs) -> None:
        self._kwargs = kwargs
        self._last: Any = None

    def add(self, frame: pd.DataFrame) -> Seen:
        """As `RowRule`."""
        column = frame[self._kwargs["column"]]
        absent = missing(column)
        tried = len(column) - int(np.count_nonzero(absent))
        if not len(column):
            return _seen(absent, 0)
        filled = column.ffill()
        before = filled.shift(1)
        if self._last is not None:
            before = before.where(before.notna(), self._last)
        if not missing(filled.iloc[-1:])[0]:
            self._last = filled.iloc[-1]
        try:
            fits = column > before if self._kwargs.get("strictly") else column >= before
        except TypeError:
            return _seen(~absent, tried, "values of this type have no order")
        known = ~missing(before) & ~absent
        return _seen(known & ~fits.to_numpy(bool), tried)


class OfType:
    """Values are of one of the named types: by the column's dtype, or by value for objects."""

    def __init__(self, kwargs: Kwargs) -> None:
        self._names = list(kwargs.get("type_list") or [kwargs["type_"]])

    def add(self, frame: pd.DataFrame) -> Seen:
        """As `RowRule`."""
        column = frame.iloc[:, 0]
        if not pd.api.types.is_string_dtype(column.dtype):
            fits = any(column.dtype == dtype for dtype in self._dtypes())
            return _seen(
                np.full(len(column), not fits), len(column), None if fits else "wrong type"
            )
        absent = missing(column)
        tried = len(column) - int(np.count_nonzero(absent))
        if "str" in self._names and pd.api.types.infer_dtype(column, skipna=True) == "string":
            return _seen(np.zeros(len(column), dtype=bool), tried)
        kinds = tuple(self._types())
        mine = np.array([isinstance(value, kinds) for value in column], dtype=bool)
        return _seen(~mine & ~absent, tried)

    def _dtypes(self) -> list[np.dtype[Any]]:
        found = []
        for name in self._names:
            try:
                found.append(np.dtype(name))
            except TypeError:
                continue
        return found

    def _types(self) -> list[type]:
        native: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
        known = [native[name] for name in self._names if name in native]
        return known + [dtype.type for dtype in self._dtypes()]


@dataclass(frozen=True)
class RowKind:
    """How a type of rule is built, and the arguments by which it is understood here."""

    build: Callable[[Kwargs], RowRule]
    arguments: frozenset[str]


def _kind(build: Callable[[Kwargs], RowRule], *arguments: str) -> RowKind:
    return RowKind(build, frozenset({*arguments, "mostly"}))


def _plain(condition: Condition, *arguments: str) -> RowKind:
    return _kind(lambda kwargs: Stateless(condition, kwargs), *arguments)


_BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")

ROW_KINDS: dict[str, RowKind] = {
    "expect_column_values_to_not_be_null": _plain(_not_null, "column"),
    "expect_column_values_to_be_null": _plain(_null, "column"),
    "expect_column_values_to_be_between": _plain(_between, "column", *_BOUNDS),
    "expect_column_values_to_be_in_set": _plain(_in_set, "column", "value_set"),
    "expect_column_values_to_not_be_in_set": _plain(_not_in_set, "column", "value_set"),
    "expect_column_value_lengths_to_be_between": _plain(_lengths, "column", *_BOUNDS),
    "expect_column_values_to_match_regex": _plain(_matches, "column", "regex"),
    "expect_column_pair_values_a_to_be_greater_than_b": _plain(
        _pair(_greater), "column_A", "column_B", "or_equal"
    ),
    "expect_column_pair_values_to_be_equal": _plain(_pair(_equal), "column_A", "column_B"),
    "expect_column_values_to_be_unique": _kind(Unique, "column"),
    "expect_compound_columns_to_be_unique": _kind(Unique, "column_list"),
    "expect_column_values_to_be_increasing": _kind(Increasing, "column", "strictly"),
    "expect_column_values_to_be_in_type_list": _kind(OfType, "column", "type_list"),
    "expect_column_values_to_be_of_type": _kind(OfType, "column", "type_"),
}
