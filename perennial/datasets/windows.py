"""Where a window of the stream ends."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.datasets.served import arrivals
from perennial.spec import Span

VOICES = 9
"""Rows in a row of which most must agree before the stream counts as having moved."""
IN_LINE = 3
"""Rows that come evenly have the first and the last of them twice as far from the middle one as
most are."""


def first_cut(rows: pd.DataFrame, time: str | None, size: Span) -> int | None:
    """Say how many rows the next window takes, or None where it is not full yet.

    A window of rows takes so many. A window of time holds the rows, in the order of their arrival,
    for as long as the stream stays in its span. No single row says where the stream is; most of
    ``VOICES`` rows in a row do:

    - The span begins with the earliest of the window's first ``VOICES`` rows that is in line with
      them: less than a duration before the middle one (by time), and at most ``IN_LINE`` times as
      far from it as most of them are.
    - The window ends before the first row that lies behind the end of its span, if most of that
      row and those that follow do so, too. Likewise before the first row that lies more than a
      duration before the beginning of its span, if most do so: the stream has jumped back.
    - Every other row counts in the window in which it arrives, be it late or ahead.

    So a few rows with a time far off neither end a window nor make the rows after them late, a
    stream that really jumps is followed in either direction, and nothing depends on the time at
    which the log is read. What is needed to tell comes with the next rows: until then the window
    waits, and once it is cut no later row changes it.

    Args:
        rows: of the stream, in the order of their arrival, from the beginning of the window on.
        time: their time column; None: a row happened when it arrived.
    """
    if size.duration is None:
        wanted = size.rows or 1
        return wanted if len(rows) >= wanted else None
    clock = _clock(rows, time)
    return None if clock is None else _end(clock, size.duration)


def strays(times: pd.Series) -> NDArray[np.bool_]:
    """Which rows of a window say nothing of its time (rows,): they lie further from where the
    stream was than the stream went in all of the window.

    Where it was at a row is the middle one of ``VOICES`` around it.

    Args:
        times: of the rows in the order of their arrival, datetime64.
    """
    seconds = times.astype("datetime64[us]").astype(np.int64)
    stream = seconds.rolling(VOICES, center=True, min_periods=1).median()
    low, high = stream.min(), stream.max()
    far: NDArray[np.bool_] = ~seconds.between(low - (high - low), high + (high - low)).to_numpy()
    return far


def _clock(rows: pd.DataFrame, time: str | None) -> Any:
    """The time of each row, datetime64[us]; None where none is known.

    Rows of a source without a time stand where the served rows beside them do.
    """
    if time is not None:
        return rows[time].to_numpy().astype("datetime64[us]")
    if "_time" not in rows.columns or rows["_time"].isna().all():
        return None
    return pd.Series(arrivals(rows)).bfill().ffill().to_numpy().astype("datetime64[us]")


def _end(clock: NDArray[Any], duration: timedelta) -> int | None:
    """The first row behind a window that begins with the first of these times."""
    if len(clock) < VOICES:
        return None
    span = np.timedelta64(duration)
    head = clock[:VOICES]
    middle = np.sort(head)[VOICES // 2]
    distance = np.abs(head - middle)
    in_line = distance <= IN_LINE * np.sort(distance)[VOICES // 2]
    begin = head[in_line & (head > middle - span)].min()
    ends = [_first_agreed(clock >= begin + span), _first_agreed(clock < begin - span)]
    return min((end for end in ends if end is not None), default=None)


def _first_agreed(outside: NDArray[np.bool_]) -> int | None:
    """The first row that is outside and in that has the most of the rows from it on with it."""
    count = np.cumsum(np.concatenate([[0], outside, np.zeros(VOICES, dtype=int)]))
    voices = count[VOICES:] - count[:-VOICES]
    agreed = np.flatnonzero(outside & (voices[: len(outside)] > VOICES // 2))
    return int(agreed[0]) if len(agreed) else None
