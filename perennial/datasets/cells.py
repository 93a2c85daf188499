"""The cells of a text file as numbers, truth values or texts, a column at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from perennial.packaging.signature import LARGEST_FLOAT32

MISSING = (
    *("", "-", "--", "NA", "N/A", "n/a", "na", "NaN", "nan", "-nan", "NaT", "NULL", "Null", "null"),
    *("None", "none", "#N/A", "#NA", "<NA>"),
)
"""Cells that say that there is no value."""
_MOST = 0.9
"""From this share of numbers on a column is one of numbers, and what else it holds unreadable."""
_GROUPS = {".": ",'\u00a0\u202f ", ",": ".'\u00a0\u202f "}
"""What may stand between thousands, by the decimal."""
_TRUTH = {"true": True, "false": False}


def read_cells(column: pa.ChunkedArray, decimal: str) -> tuple[pd.Series, NDArray[np.bool_]]:
    """Type a column of texts.

    Returns:
        Numbers (int64, else float64), bools, or objects of text and None; and which cells are
        unreadable: texts among numbers, and numbers beyond a float32; they count as missing.
    """
    none = np.zeros(len(column), dtype=bool)
    if column.null_count == len(column):
        return pd.Series(np.full(len(column), np.nan)), none
    if decimal == "." and (number := _plain(column)) is not None:
        unreadable = beyond(number.to_numpy(dtype=float))
        return number.mask(unreadable) if unreadable.any() else number, unreadable
    text = _trimmed(column)
    missing = np.asarray(text.is_null())
    if missing.all():
        return pd.Series(np.full(len(text), np.nan)), none
    if (truth := _truth(text)) is not None:
        return truth, none
    numbers, looks = _numbers(text, decimal)
    unreadable = np.isnan(numbers) & ~missing
    if (looks | ~unreadable)[~missing].mean() >= _MOST:
        return _narrow(numbers, missing), unreadable
    return pd.Series(text.to_pylist(), dtype=object), none


def beyond(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which numbers no float32 holds, as a model would need them."""
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = np.abs(values) > LARGEST_FLOAT32
    return found


def as_texts(column: pa.ChunkedArray) -> pd.Series:
    """A column of texts as it stands, without a type."""
    return pd.Series(_trimmed(column).to_pylist(), dtype=object)


def _trimmed(column: pa.ChunkedArray) -> pa.Array:
    """Texts without blanks around them; null where nothing is left, or what says so."""
    text = pc.utf8_trim_whitespace(column).combine_chunks()
    return pc.if_else(pc.is_in(text, pa.array(MISSING, pa.string())), pa.scalar(None), text)


def _plain(column: pa.ChunkedArray) -> pd.Series | None:
    """Numbers with a decimal point and nothing else, the usual case."""
    for kind in (pa.int64(), pa.float64()):
        try:
            return column.cast(kind).to_pandas()
        except pa.ArrowInvalid:
            continue
    return None


def _truth(text: pa.Array) -> pd.Series | None:
    if text.drop_null()[0].as_py().lower() not in _TRUTH:
        return None
    lower = pc.utf8_lower(text)
    if any(value not in (*_TRUTH, None) for value in pc.unique(lower).to_pylist()):
        return None
    values = [None if value is None else _TRUTH[value] for value in lower.to_pylist()]
    return pd.Series(values, dtype=object if None in values else bool)


def _numbers(text: pa.Array, decimal: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The numbers among texts, NaN for the rest, and what is a number by the other decimal."""
    point = r"\." if decimal == "." else ","
    groups = "|".join(f"(?:[1-9][0-9]{{0,2}}(?:{_escape(g)}[0-9]{{3}})+)" for g in _GROUPS[decimal])
    tail = rf"(?:{point}[0-9]*)?(?:[eE][+-]?[0-9]+)?"
    written = rf"^[+-]?(?:[0-9]+{tail}|{point}[0-9]+(?:[eE][+-]?[0-9]+)?|(?:{groups}){tail})$"
    fits = pc.match_substring_regex(text, written)
    plain = pc.replace_substring_regex(text, f"[{_GROUPS[decimal]}]", "")
    plain = pc.replace_substring(plain, ",", ".") if decimal == "," else plain
    numbers = pc.if_else(fits, plain, pa.scalar(None, pa.string())).cast(pa.float64())
    values = np.array(numbers.to_numpy(zero_copy_only=False), dtype=float)
    values[beyond(values)] = np.nan
    other = pc.match_substring_regex(text, r"^[+-]?[0-9]+[.,][0-9]+$").fill_null(False)
    return values, np.asarray(other, dtype=bool)


def _escape(group: str) -> str:
    return r"\." if group == "." else group


def _narrow(numbers: NDArray[Any], missing: NDArray[np.bool_]) -> pd.Series:
    whole = not np.isnan(numbers).any() and bool((numbers % 1 == 0).all())
    if whole and bool((np.abs(numbers) < 2**53).all()) and not missing.any():
        return pd.Series(numbers.astype(np.int64))
    return pd.Series(numbers)
