"""Served rows as the stream takes them: with a time each, in the types of the source.

A row that cannot be used stays in its place and says why (`FAULT`): windows count it, nobody learns
from it, and who looks at a window puts it in quarantine. So no row that was ever logged can stop a
run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.packaging.labels import Fault
from perennial.packaging.signature import TimeField, canonical_label
from perennial.spec import PipelineSpec, TimeFormat

RULE, FAULT = "_rule", "_fault"
"""Columns of a frame: the rule that makes a row unusable, and why in words; None: it is fine."""


def time_field(spec: PipelineSpec) -> TimeField | None:
    """The field of a request that says when its row happened, as a pipeline declares it."""
    if spec.time is None:
        return None
    format = TimeFormat(format=spec.time_format or "iso", timezone=spec.timezone)
    return TimeField(name=spec.time, format=format)


def take_times(frame: pd.DataFrame, time: TimeField) -> pd.DataFrame:
    """Read the time of served rows: datetime64[ns] of UTC.

    A row without a time happened when it arrived. So did one whose time cannot be read; it cannot
    be used.

    Args:
        frame: rows of the log; ``_time`` is the moment of their arrival.
    """
    times = arrivals(frame).astype("datetime64[ns]")
    faults: list[Fault | None] = [None] * len(frame)
    read = time.format.read
    for row, value in enumerate(frame[time.name].tolist() if time.name in frame.columns else ()):
        if value is None or value == "" or value != value:  # noqa: PLR0124
            continue
        try:
            times[row] = np.datetime64(read(value), "ns")
        except ValueError as error:
            faults[row] = Fault("is_time", str(error))
    return add_faults(frame.assign(**{time.name: times}), time.name, faults)


def arrivals(frame: pd.DataFrame) -> NDArray[Any]:
    """When served rows arrived: datetime64[us] of UTC, NaT for rows of the source."""
    moments: NDArray[Any] = pd.to_datetime(frame["_time"], utc=True).dt.tz_localize(None).to_numpy()
    return moments.astype("datetime64[us]")


def take_types(frame: pd.DataFrame, source: pd.DataFrame, spec: PipelineSpec) -> pd.DataFrame:
    """Bring the features of served rows into the types that the source has by now.

    A column may have been text when its rows were served and be numbers today, or the other way
    round. A text that is no number makes its row unusable.
    """
    apart = {spec.target, spec.time, *spec.ignore}
    for name in [name for name in source.columns if name in frame.columns and name not in apart]:
        column = frame[name]
        is_text = pd.api.types.is_string_dtype(column.dtype)
        if pd.api.types.is_numeric_dtype(source[name].dtype) and is_text:
            frame = _to_numbers(frame, name)
        elif pd.api.types.is_string_dtype(source[name].dtype) and pd.api.types.is_numeric_dtype(
            column.dtype
        ):
            texts = [None if value != value else canonical_label(value) for value in column]  # noqa: PLR0124
            frame = frame.assign(**{name: pd.Series(texts, frame.index, object)})
    return frame


def _to_numbers(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    numbers = pd.to_numeric(frame[name], errors="coerce").astype(np.float64)
    bad = frame[name].notna() & numbers.isna()
    faults = [
        Fault("is_number", f"{value!r} is no number") if is_bad else None
        for value, is_bad in zip(frame[name], bad, strict=True)
    ]
    return add_faults(frame.assign(**{name: numbers}), name, faults)


def add_faults(frame: pd.DataFrame, column: str, faults: Iterable[Fault | None]) -> pd.DataFrame:
    """Note in ``RULE`` and ``FAULT`` which rows cannot be used; what a row says already stays."""
    found = [
        (None, None) if f is None else (f"{f.rule}({column})", f"{column}: {f.why}") for f in faults
    ]
    rules, whys = zip(*found, strict=True) if found else ((), ())
    for name, values in ((RULE, rules), (FAULT, whys)):
        fresh = pd.Series(list(values), frame.index, object)
        if name in frame.columns:
            fresh = fresh.where(frame[name].isna(), frame[name])
        frame = frame.assign(**{name: fresh})
    return frame


def unusable(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows of a frame say that they cannot be used (rows,)."""
    if FAULT not in frame.columns:
        return np.zeros(len(frame), dtype=bool)
    found: NDArray[np.bool_] = frame[FAULT].notna().to_numpy()
    return found
