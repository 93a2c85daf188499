"""Read a table whose dialect and times nobody has declared.

The one place here that knows how files are read; all else takes frames.
"""

from __future__ import annotations

import csv
import gzip
import io
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from perennial.errors import SourceError
from perennial.spec import TimeFormat

_SEPARATORS = ",;\t|"
_PATTERNS = tuple(
    f"{day}{clock}"
    for day in ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
    for clock in ("", " %H:%M", " %H:%M:%S")
)
_HEAD = 100


class Table(NamedTuple):
    """A table as it was read, without any column's times understood."""

    frame: pd.DataFrame
    how: str
    """Separator, decimal and encoding in words, where they are not the usual ones."""


def read_table(data: Path) -> Table:
    """Read a csv, csv.gz or parquet file, or a folder of parquet files.

    Raises:
        SourceError: it cannot be read, or holds no rows or no columns.
    """
    if not data.exists():
        raise SourceError(f"--data: there is no file {data}")
    name = str(data)
    try:
        if name.endswith((".csv", ".csv.gz")):
            table = _read_csv(data)
        elif name.endswith(".parquet") or data.is_dir():
            table = Table(pd.read_parquet(data), "")
        else:
            raise SourceError(f"--data: {data} is neither csv, csv.gz nor parquet")
    except (OSError, EOFError, ValueError, csv.Error, pd.errors.ParserError) as error:
        raise SourceError(f"--data: {data} cannot be read: {error}") from None
    if table.frame.empty:
        raise SourceError(f"--data: {data} holds no rows")
    return table


def _read_csv(data: Path) -> Table:
    raw = data.read_bytes()
    raw = gzip.decompress(raw) if data.suffix == ".gz" else raw
    encoding = _encoding(raw)
    text = raw.decode(encoding)
    separator = _separator(text)
    frames = {
        decimal: pd.read_csv(io.StringIO(text), sep=separator, decimal=decimal, low_memory=False)
        for decimal in ("." if separator == "," else ".,")
    }
    decimal = max(frames, key=lambda d: len(frames[d].select_dtypes("number").columns))
    words = [] if separator == "," else [f"separator {separator!r}"]
    words += [] if decimal == "." else [f"decimal {decimal!r}"]
    words += [] if encoding == "utf-8" else [f"encoding {encoding}"]
    return Table(frames[decimal], ", ".join(words))


def _encoding(raw: bytes) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _separator(text: str) -> str:
    """The character that cuts the first lines into the same number of fields, the most of them."""
    lines = text.splitlines()[:_HEAD]
    best, most = ",", 1
    for separator in _SEPARATORS:
        widths = {len(row) for row in csv.reader(lines, delimiter=separator) if row}
        if len(widths) == 1 and (width := widths.pop()) > most:
            best, most = separator, width
    return best


def find_time_format(
    column: pd.Series, *, declared: str | None, timezone: str, where: str
) -> TimeFormat:
    """Find the one format in which all values of a column are times.

    Raises:
        SourceError: there is none, or more than one.
    """
    if declared is not None:
        formats = [TimeFormat(format=declared, timezone=timezone)]
    elif pd.api.types.is_datetime64_any_dtype(column):
        return TimeFormat(timezone=timezone)
    elif pd.api.types.is_numeric_dtype(column):
        unit = "milliseconds" if column.abs().median() > 1e11 else "seconds"
        formats = [TimeFormat(format=unit, timezone=timezone)]
    else:
        formats = [TimeFormat(format=f, timezone=timezone) for f in ("iso", *_PATTERNS)]
    values = column.drop_duplicates().tolist()
    if all(_reads(formats[0], value) for value in values):
        return formats[0]
    fitting = [found for found in formats if all(_reads(found, value) for value in values)]
    if not fitting:
        raise SourceError(f"{where}: {column.name!r} holds values that are no time")
    first = [read_times(column, found) for found in fitting]
    for other, times in zip(fitting[1:], first[1:], strict=True):
        unlike = times != first[0]
        if unlike.any():
            value = column[unlike].iloc[0]
            raise SourceError(
                f"{where}: {value!r} may be {fitting[0].format} or {other.format}: write "
                "time_format"
            )
    return fitting[0]


def _reads(found: TimeFormat, value: object) -> bool:
    try:
        found.read(value)
    except ValueError:
        return False
    return True


def read_times(column: pd.Series, found: TimeFormat) -> pd.Series:
    """Read a column in its format."""
    times: dict[object, datetime] = {v: found.read(v) for v in column.drop_duplicates().tolist()}
    return pd.to_datetime(column.map(times))
