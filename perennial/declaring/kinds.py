"""What a column holds, in words, and texts that do not fit among numbers."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

_MOSTLY = 0.8
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_MONTH = re.compile(
    r"\d{4}[-/. ]?(0[1-9]|1[0-2])|(0[1-9]|1[0-2])[-/. ]\d{4}|\d{4}[-/. ]?(Q[1-4]|(W|KW)\d{1,2})"
    r"|[A-Za-z]{3,9}[-/. ]\d{4}"
)
_TRIED = 50


def kind_of(column: pd.Series) -> str:
    """Name what a column holds, as the table of guesses shows it."""
    known = column.dropna()
    if known.empty:
        return "empty"
    if pd.api.types.is_datetime64_any_dtype(known):
        return "times"
    if holds_objects(known):
        return "objects"
    if pd.api.types.is_bool_dtype(known):
        return "true/false"
    if pd.api.types.is_numeric_dtype(known):
        return "whole numbers" if is_whole(known) else "numbers"
    return f"text, {known.nunique():,} values"


def holds_objects(known: pd.Series) -> bool:
    """Whether cells are lists, arrays or dictionaries, which no feature can be."""
    return known.dtype == object and any(
        isinstance(value, list | dict | tuple | set | np.ndarray) for value in known.iloc[:_TRIED]
    )


def is_whole(known: pd.Series) -> bool:
    """Whether all of some numbers without a missing one are whole."""
    values = known.to_numpy(dtype=np.float64)
    return bool((np.isfinite(values) & (values == np.round(values))).all())


def is_text(known: pd.Series) -> bool:
    """Whether a column holds texts, and no numbers or times."""
    return not (pd.api.types.is_numeric_dtype(known) or pd.api.types.is_datetime64_any_dtype(known))


def stray_texts(known: pd.Series) -> list[str]:
    """Find what keeps a column of mostly numbers from being read as numbers, each text once.

    Empty where less than four fifths of its texts are numbers. A decimal comma beside decimal
    points is a stray, too.
    """
    if not is_text(known):
        return []
    texts = known.astype(str).str.strip()
    distinct = texts.drop_duplicates()
    numbers = {text for text in distinct if _NUMBER.fullmatch(text)}
    if texts.isin(numbers).mean() < _MOSTLY:
        return []
    commas = {text for text in numbers if "," in text}
    strays = [text for text in distinct if text not in numbers]
    return strays + [text for text in distinct if text in commas]


def is_month(known: pd.Series) -> bool:
    """Whether every value names a month, quarter or week of one year: 2026-03, 03/2026, 2026-Q1."""
    if pd.api.types.is_numeric_dtype(known) and not (
        is_whole(known) and known.between(190_001, 210_012).all()
    ):
        return False
    if pd.api.types.is_datetime64_any_dtype(known):
        return False
    texts = known.drop_duplicates().map(lambda v: f"{v:.0f}" if isinstance(v, float) else str(v))
    return len(texts) > 1 and all(_MONTH.fullmatch(text.strip()) for text in texts)
