"""Which column is the time of a row, and which others hold dates."""

from __future__ import annotations

import re
from typing import NamedTuple

import pandas as pd

from perennial.datasets.times import find_time_format, read_times
from perennial.declaring.kinds import holds_objects, is_month, is_text
from perennial.errors import SourceError
from perennial.evaluation.leakage.identifiers import are_times
from perennial.spec import Validation

_SAMPLE = 50
_ASCENDS = 0.99
_READABLE = 1 - Validation().quarantine_share
"""Share of the rows that need a time: the others go to quarantine."""
_EARLIEST, _LATEST = 631_152_000, 4_102_444_800
"""Seconds since 1970 of the years 1990 and 2100: other numbers are no times unless one says so."""
_NAMED = re.compile(
    r"(^|[_\W])(ts|time|timestamp|date|datetime|epoch|unix|zeit|datum)([_\W]|$)", re.I
)


class TimeColumn(NamedTuple):
    """A column that reads as times."""

    name: str
    times: pd.Series
    format: str
    in_order: bool
    """It never goes back from one row to the next, but for one in a hundred."""


def time_columns(frame: pd.DataFrame, target: str) -> tuple[list[TimeColumn], dict[str, str]]:
    """Find the columns that read as times in one format, and those that would but for a reason.

    Numbers count where their name says so and they lie in the years 1990 to 2100.
    """
    found, refused = [], {}
    for name in frame.columns:
        column = frame[name]
        if name == target or not _may_be(column):
            continue
        try:
            found.append(read_column(column, None, f"column {name!r}"))
        except SourceError as error:
            known = column.dropna()
            if is_text(known) and not is_month(known) and are_times(known.astype(str)):
                refused[str(name)] = str(error)
    return found, refused


def read_column(column: pd.Series, declared: str | None, where: str) -> TimeColumn:
    """Read one column as times.

    Args:
        declared: its format, if somebody has said so.
        where: for messages.

    Raises:
        SourceError: it holds values that are no time, or its format is ambiguous.
    """
    known = column.dropna()
    if known.empty:
        raise SourceError(f"{where}: {column.name!r} has no value in any row")
    found = find_time_format(known, declared=declared, timezone="UTC", where=where)
    times = read_times(known, found)
    in_order = len(times) > 1 and (times.diff().dropna() >= pd.Timedelta(0)).mean() >= _ASCENDS
    return TimeColumn(str(column.name), times.reindex(column.index), found.format, bool(in_order))


def choose_time(found: list[TimeColumn]) -> TimeColumn | None:
    """Choose the time of a row: one that ascends, of several the finest; else the only one."""
    whole = [
        one for one in found if one.times.notna().mean() >= _READABLE and one.times.nunique() > 1
    ]
    rising = [one for one in whole if one.in_order]
    if rising:
        return max(rising, key=lambda one: one.times.nunique())
    return whole[0] if len(whole) == 1 else None


def _may_be(column: pd.Series) -> bool:
    """A quick look, so that not every text is tried in every format."""
    known = column.dropna()
    if known.empty or pd.api.types.is_bool_dtype(known) or holds_objects(known):
        return False
    if pd.api.types.is_datetime64_any_dtype(known):
        return True
    if not is_text(known):
        seconds = known / (1_000 if known.abs().median() > 1e11 else 1)
        return bool(_NAMED.search(str(column.name)) and seconds.between(_EARLIEST, _LATEST).all())
    texts = known.iloc[:_SAMPLE].astype(str)
    return bool(texts.str.contains(r"\d.*\D.*\d|^\d{8}", regex=True).mean() >= _READABLE)
