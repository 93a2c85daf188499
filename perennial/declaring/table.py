"""Read a table that nobody has declared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from perennial.datasets import tables
from perennial.datasets.dialect import Dialect
from perennial.errors import SourceError
from perennial.spec import Source


class Raw(NamedTuple):
    """A table as it stands in its file, no time of it understood."""

    frame: pd.DataFrame
    how: str
    """Separator, decimal and encoding in words, where they are not the usual ones."""
    unreadable: Mapping[str, int]
    """For a column of numbers how many of its cells are none, and count as missing."""


def read_table(data: Path, time: str | None = None) -> Raw:
    """Read a csv, csv.gz or parquet file, or a folder of parquet files.

    Args:
        time: a column that is known to hold times: 01.2030 is no number there.

    Raises:
        SourceError: it cannot be found or read, is no table, or holds no rows.
    """
    if not data.exists():
        raise SourceError(f"--data: there is no file {data}")
    table = tables.read_table(
        data, str(data), Source(uri=str(data)), as_text=() if time is None else (time,)
    )
    if table.frame.empty:
        raise SourceError(f"--data: {data} holds no rows")
    unreadable = {str(name): int(bad.sum()) for name, bad in table.unreadable.items()}
    return Raw(table.frame, _say(table.dialect), unreadable)


def _say(dialect: Dialect | None) -> str:
    if dialect is None:
        return ""
    words = [] if dialect.separator == "," else [f"separator {dialect.separator!r}"]
    words += [] if dialect.decimal == "." else [f"decimal {dialect.decimal!r}"]
    words += [] if dialect.encoding.startswith("utf-8") else [f"encoding {dialect.encoding}"]
    return ", ".join(words)
