"""Tables that a person hands over as files: csv, csv.gz and parquet, by their names."""

from __future__ import annotations

import io
from pathlib import Path
from typing import IO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import is_string_dtype

from perennial.datasets.tables import read_table
from perennial.errors import SourceError
from perennial.packaging.signature import canonical_label
from perennial.spec import Source

CSV = (".csv", ".csv.gz")
SUFFIXES = (*CSV, ".parquet")
_GROUP_ROWS = 65_536


def is_csv(name: str) -> bool:
    """Whether a file's name says that it is a CSV."""
    return name.endswith(CSV)


def is_table(name: str) -> bool:
    """Whether a file's name says that it can be read."""
    return name.endswith(SUFFIXES)


def table_files(path: Path) -> list[Path]:
    """Name the files of a table: the file itself, or those in a folder in the order of their names.

    Files and folders whose names begin with ``_`` or ``.`` are passed over.

    Raises:
        SourceError: there is none.
    """
    if path.is_file():
        if not is_table(path.name):
            raise SourceError(f"{path} is neither csv, csv.gz nor parquet, by its name")
        return [path]
    found = sorted(f for f in path.rglob("*") if f.is_file() and _is_part(f.relative_to(path)))
    if not found:
        what = "has no csv, csv.gz or parquet in it" if path.is_dir() else "is not there"
        raise SourceError(f"{path} {what}")
    return found


def _is_part(path: Path) -> bool:
    return is_table(path.name) and not any(part.startswith(("_", ".")) for part in path.parts)


def csv_as_parquet(data: Path | IO[bytes], name: str) -> pq.ParquetFile:
    """Read a CSV whole, and give it as what reads Parquet takes it: texts as the training has them.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        content = data if isinstance(data, Path) else data.read()
        frame = read_table(content, name, Source(uri=name)).frame
    except SourceError as error:
        raise SourceError(str(error).removeprefix("source.uri: ")) from None
    # Of objects Arrow makes strings, as other files have them; of pandas 3's own texts large ones.
    texts = {
        c: pd.Series([_as_text(v) for v in frame[c]], index=frame.index, dtype=object)
        for c in frame.columns
        if is_string_dtype(frame[c].dtype)
    }
    table = pa.Table.from_pandas(frame.assign(**texts), preserve_index=False)
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=_GROUP_ROWS)
    sink.seek(0)
    return pq.ParquetFile(sink)


def _as_text(value: object) -> str | None:
    return None if pd.isna(value) else canonical_label(value)
