"""What people are told a window is: ``w000031`` is "window 31 (3 Mar - 14 Mar 2026)"."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from perennial.spec import TimeFormat
from perennial.store.layout import window_number, window_span


class Dates(BaseModel):
    """The times of a window's first and last row, in UTC and without an offset."""

    model_config = ConfigDict(frozen=True)

    first: datetime
    last: datetime

    def __str__(self) -> str:
        """As people write it, with hours only where days do not tell enough."""
        first, last = self.first, self.last
        by_day = all(moment.time() == time() for moment in (first, last))
        if last - first < timedelta(days=2) and not by_day:
            begin = f"{_day(first)} {first.year} {first:%H:%M}"
            if f"{first:%F %H:%M}" == f"{last:%F %H:%M}":
                return f"{begin} UTC"
            end = f"{last:%H:%M}" if first.date() == last.date() else f"{_day(last)} {last:%H:%M}"
            return f"{begin} - {end} UTC"
        if first.date() == last.date():
            return f"{_day(first)} {first.year}"
        year = "" if first.year == last.year else f" {first.year}"
        return f"{_day(first)}{year} - {_day(last)} {last.year}"

    def until(self, later: Dates) -> Dates:
        """From the beginning of these to the end of others."""
        return Dates(first=min(self.first, later.first), last=max(self.last, later.last))


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b}"


def in_words(name: str, dates: Dates | Mapping[str, Dates | None] | None = None) -> str:
    """Say which window, or windows in a row, a name means, and of when their rows are.

    Args:
        name: of `perennial.store.layout.window_name` or ``several_windows``.
        dates: of the window, or those of all windows that are known; None: unknown.
    """
    first, last = window_span(name)
    if isinstance(dates, Mapping):
        begin, end = dates.get(first), dates.get(last)
        dates = begin.until(end) if begin is not None and end is not None else None
    words = f"window {window_number(first)}"
    if last != first:
        words = f"windows {window_number(first)} to {window_number(last)}"
    return words if dates is None else f"{words} ({dates})"


def dates_of(
    frame: pd.DataFrame, column: str | None, form: TimeFormat | None = None
) -> Dates | None:
    """Find the first and the last time of a window's rows.

    That of the event, where the pipeline has a time column; else that of the request. None: the
    rows have neither.

    Args:
        column: name of the time column.
        form: how served rows write it; None: ISO 8601.
    """
    for name, read in ((column, form or TimeFormat()), ("_time", TimeFormat())):
        if name is not None and name in frame.columns:
            found = _ends(frame[name], read)
            if found is not None:
                return found
    return None


def _ends(column: pd.Series, form: TimeFormat) -> Dates | None:
    """The earliest and the latest time; values that are none are passed over."""
    if pd.api.types.is_datetime64_any_dtype(column):
        column = pd.Series([column.min(), column.max()])
    times = [moment for value in column if (moment := _read(value, form)) is not None]
    return Dates(first=min(times), last=max(times)) if times else None


def _read(value: Any, form: TimeFormat) -> datetime | None:
    if value is None or value is pd.NaT:
        return None
    try:
        moment = form.read(value.to_pydatetime() if isinstance(value, pd.Timestamp) else value)
    except ValueError:
        return None
    return moment.replace(microsecond=0)
