"""A file of rows as a frame: CSV in any usual dialect, or Parquet."""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
from numpy.typing import NDArray

from perennial.datasets.cells import MISSING, as_texts, beyond, read_cells
from perennial.datasets.dialect import Dialect, decode, find_dialect, ragged_line, records
from perennial.errors import SourceError
from perennial.spec.source import Source

_GZIP = b"\x1f\x8b"
_BLOCK = 64 << 20
"""Bytes that are split at once: no row may be longer."""
_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt", ".txt.gz")


@dataclass(frozen=True, eq=False)
class Table:
    """What was read of a file."""

    frame: pd.DataFrame
    dialect: Dialect | None
    """None: Parquet."""
    unreadable: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """For a column of numbers the rows whose cell is none; it counts as missing."""


def read_table(
    where: Path | bytes, name: str, declared: Source, *, as_text: Collection[str] = ()
) -> Table:
    """Read a CSV or Parquet file, or a folder of Parquet files.

    Args:
        where: the file, or its bytes.
        name: names it in messages; its ending tells what it is.
        declared: encoding, separator and decimal; what it leaves out is found.
        as_text: columns whose cells stay as they stand.

    Returns:
        Its rows in the order of the file. A column without a name is left out: no request could
        name it.

    Raises:
        SourceError: it cannot be read, is empty, no table, or has two columns of one name or rows
            of another length than the header; names the line.
    """
    if name.endswith(_CSV):
        return _read_csv(where, name, declared, as_text)
    if name.endswith(".parquet") or (isinstance(where, Path) and where.is_dir()):
        return _read_parquet(where, name)
    raise SourceError(f"source.uri: {name} is neither csv, csv.gz, parquet nor a folder of parquet")


def _read_csv(where: Path | bytes, name: str, declared: Source, as_text: Collection[str]) -> Table:
    try:
        data = where if isinstance(where, bytes) else where.read_bytes()
        data = gzip.decompress(data) if data.startswith(_GZIP) else data
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"source.uri: {name} cannot be read: {error}") from None
    text, encoding = decode(data, name, declared)
    dialect, text = find_dialect(text, encoding, declared)
    names = _names(text, name, dialect)
    rows = _split(text, len(names), name, dialect)
    columns: dict[str, pd.Series] = {}
    unreadable = {}
    for column, cells in zip(names, rows.columns, strict=True):
        if not column:
            continue
        if column in as_text:
            columns[column] = as_texts(cells)
            continue
        columns[column], bad = read_cells(cells, dialect.decimal)
        if bad.any():
            unreadable[column] = bad
    return Table(pd.DataFrame(columns), dialect, unreadable)


def _names(text: str, name: str, dialect: Dialect) -> list[str]:
    """The names of the columns; empty where one has none."""
    header = next(iter(records(text, dialect.separator, most=1)), [])
    names = [column.strip() for column in header]
    twice = [column for column, count in Counter(names).items() if column and count > 1]
    if twice:
        raise SourceError(
            f"source.uri: {name} has {names.count(twice[0])} columns named {twice[0]!r}: "
            "give each a name of its own"
        )
    if not any(names):
        raise SourceError(f"source.uri: {name} is no table: its first row names no column")
    return names


def _split(text: str, width: int, name: str, dialect: Dialect) -> pa.Table:
    """The cells of all rows behind the first as texts."""
    ragged: list[int] = []

    def note(row: Any) -> str:
        ragged.append(row.actual_columns)
        return "skip"

    columns = [str(place) for place in range(width)]
    try:
        rows = pa_csv.read_csv(
            io.BytesIO(text.encode("utf-8", "replace")),
            pa_csv.ReadOptions(
                use_threads=False, block_size=_BLOCK, column_names=columns, skip_rows_after_names=1
            ),
            pa_csv.ParseOptions(
                delimiter=dialect.separator, newlines_in_values=True, invalid_row_handler=note
            ),
            pa_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=MISSING,
                strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        raise SourceError(f"source.uri: {name} is no table: {_line(error)}") from None
    if ragged:
        line = ragged_line(text, dialect.separator, width)
        raise SourceError(
            f"source.uri: {name}, line {line}: {ragged[0]} fields where the header has {width}; "
            f"{len(ragged):,} lines are so: mend them, or write source.separator (it is taken for "
            f"{dialect.separator!r})"
        )
    return rows


def _read_parquet(where: Path | bytes, name: str) -> Table:
    try:
        frame = pd.read_parquet(io.BytesIO(where) if isinstance(where, bytes) else where)
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise SourceError(f"source.uri: {name} cannot be read: {_line(error)}") from None
    if any(level is not None for level in frame.index.names):
        # pandas writes an index that has a name as a column.
        frame = frame.reset_index()
    frame.columns = [str(column) for column in frame.columns]
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise SourceError(f"source.uri: {name} has two columns named {twice[0]!r}")
    unreadable = {}
    for column in frame.columns:
        plain = _plain(frame[column])
        if pd.api.types.is_float_dtype(plain.dtype):
            infinite = beyond(plain.to_numpy(dtype=float))
            if infinite.any():
                unreadable[column] = infinite
                plain = plain.mask(infinite)
        if plain is not frame[column]:
            frame[column] = plain
    return Table(frame, None, unreadable)


def _plain(column: pd.Series) -> pd.Series:
    """Without pandas' own missing values and without decimals: int64, float64, bool or objects."""
    kind = column.dtype
    if isinstance(kind, pd.api.extensions.ExtensionDtype) and not isinstance(
        kind, pd.CategoricalDtype | pd.DatetimeTZDtype | pd.PeriodDtype
    ):
        if pd.api.types.is_bool_dtype(kind) or not pd.api.types.is_numeric_dtype(kind):
            return column.astype(object).where(column.notna(), None).infer_objects()
        exact = pd.api.types.is_integer_dtype(kind) and column.notna().all()
        return column.astype("int64" if exact else "float64")
    if (
        pd.api.types.is_object_dtype(kind)
        and pd.api.types.infer_dtype(column, skipna=True) == "decimal"
    ):
        return column.astype("float64")
    return column


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:199] + "…"
