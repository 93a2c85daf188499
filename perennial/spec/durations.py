"""Lengths of time and of streams, as people write them: 5m, 278 rows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: object) -> timedelta:
    """Read ``"90s"``, ``"5m"``, ``"2h"``, ``"1d"`` or a number of seconds.

    Raises:
        ValueError: it is none of these, or negative.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return timedelta(seconds=value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", str(value).strip())
    if match is None:
        raise ValueError("write a duration such as 90s, 5m, 2h or 1d")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    """Write a duration in the largest unit that divides it."""
    seconds = value.total_seconds()
    for unit in "dhm":
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{int(seconds)}s" if seconds.is_integer() else f"{seconds:f}s"


class Span(BaseModel):
    """A length of the stream: a number of rows, or a duration of its time column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int | None = None
    duration: timedelta | None = None

    def __str__(self) -> str:
        return f"{self.rows} rows" if self.duration is None else format_duration(self.duration)


def parse_span(value: object) -> object:
    """Read ``"278 rows"``, ``278`` (rows) or a duration into a `Span`."""
    if isinstance(value, Span | Mapping):
        return value
    if isinstance(value, bool):
        raise ValueError("write a number of rows (278 rows) or a duration (7d)")
    if isinstance(value, int):
        if value < 0:
            raise ValueError("a span cannot be negative")
        return Span(rows=value)
    match = re.fullmatch(r"(\d[\d_]*)\s*rows?", str(value).strip())
    if match is not None:
        return Span(rows=int(match[1]))
    try:
        return Span(duration=parse_duration(value))
    except ValueError as error:
        raise ValueError("write a number of rows (278 rows) or a duration (7d)") from error


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
SpanField = Annotated[
    Span,
    BeforeValidator(parse_span),
    PlainSerializer(str, return_type=str, when_used="json"),
]
