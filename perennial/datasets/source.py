"""The labelled history that a spec names: what can be used, in time order, and what cannot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.datasets.dialect import Dialect
from perennial.datasets.served import FAULT, add_faults, unusable
from perennial.datasets.tables import Table, read_table
from perennial.datasets.times import find_time_format, read_times
from perennial.errors import SourceError
from perennial.packaging.labels import Fault
from perennial.packaging.signature import canonical_label
from perennial.spec import PipelineSpec, TimeFormat
from perennial.spec.times import ISO

Fetch = Callable[[str, str], bytes]
"""Reads an S3 object: (bucket, key) -> bytes."""
_MARKS = ("_row", "_rule", "_fault")
RESERVED = frozenset(
    ("_id", "_time", "_version", "_role", "_latency", "_output", "_key", "_weight", *_MARKS)
)
"""Columns that the log writes itself: one of a source would be taken for it."""

_NAMED = 20
"""Columns that a message lists."""


@dataclass(frozen=True, eq=False)
class SourceRows:
    """What a source holds, and how it was read."""

    spec: PipelineSpec
    """The declaration, with the format of the time where it was found and is not ISO 8601."""
    frame: pd.DataFrame
    """The rows that can be used: all columns as they stand; the time column, where one is declared,
    as datetime64 of UTC, sorted by it (rows of the same time keep their order), else row order.
    Text columns hold str and None alone: other values stand as `canonical_label` writes them, which
    is how the server and the log write them too. The index counts from 0."""
    aside: pd.DataFrame
    """The rows that cannot, as they stand, with what makes them so in ``RULE`` and ``FAULT``. The
    index is their place in the file."""
    time: TimeFormat | None
    """Of the time column, declared or found from all rows; None: there is no time."""
    dialect: Dialect | None
    """How the file is written; None: Parquet."""
    unreadable: Mapping[str, int]
    """Cells by column that are no number where almost all are; they count as missing."""
    left_out: tuple[str, ...]
    """Columns whose names belong to the log."""


def read_source(
    spec: PipelineSpec, folder: Path | None, *, fetch: Fetch | None = None
) -> pd.DataFrame:
    """Read the rows of a source that can be used: `SourceRows.frame`; otherwise as `read_rows`."""
    return read_rows(spec, folder, fetch=fetch).frame


def read_rows(spec: PipelineSpec, folder: Path | None, *, fetch: Fetch | None = None) -> SourceRows:
    """Read the whole source, checked against the spec.

    A row without a time that can be read, or whose target is no number where it must be one, is
    set aside.

    Args:
        folder: where the pipeline.yaml lies; relative paths start there. None: only ``s3://`` is
            read.
        fetch: reads ``s3://`` addresses.

    Raises:
        SourceError: it cannot be found or read, is empty, lacks a column that the spec names, its
            time column has no one format, or more rows than ``validation.quarantine_share`` allows
            cannot be used.
    """
    table = _read(spec, folder, fetch)
    frame = table.frame
    where = spec.source.uri
    if frame.empty:
        raise SourceError(f"source.uri: {where} holds no rows")
    left_out = tuple(name for name in frame.columns if name in RESERVED)
    frame = frame.drop(columns=list(left_out))
    _check_columns(frame, spec, left_out)
    share = spec.validation.quarantine_share
    format = None
    raw = frame
    if spec.time is not None:
        column, key = frame[spec.time], f"time: {spec.time}"
        format = find_time_format(
            column, declared=spec.time_format, timezone=spec.timezone, where=key, share=share
        )
        frame = frame.assign(**{spec.time: read_times(column, format)})
        raw = add_faults(raw, spec.time, _time_faults(column, frame[spec.time], format))
    raw = add_faults(raw, spec.target, _target_faults(frame[spec.target], table, spec))
    bad = unusable(raw)
    _check_share(raw, bad, share)
    frame = _in_order(frame[~bad], spec)
    found = {} if format is None or format.format == ISO else {"time_format": format.format}
    return SourceRows(
        spec=spec.model_copy(update=found),
        frame=frame,
        aside=raw[bad],
        time=format,
        dialect=table.dialect,
        unreadable={name: int(cells.sum()) for name, cells in table.unreadable.items()},
        left_out=left_out,
    )


def _in_order(frame: pd.DataFrame, spec: PipelineSpec) -> pd.DataFrame:
    if spec.time is not None:
        frame = frame.sort_values(spec.time, kind="stable")
    return plain_text(frame, spec).reset_index(drop=True)


def plain_text(frame: pd.DataFrame, spec: PipelineSpec) -> pd.DataFrame:
    """Text columns but the target with str and None alone, as `read_source` gives them.

    Raises:
        SourceError: a feature holds lists or objects; names the row.
    """
    mixed = [name for name in frame.columns if name != spec.target and _is_mixed(frame[name])]
    return frame.assign(**{name: _as_text(frame[name], spec) for name in mixed})


def _time_faults(column: pd.Series, read: pd.Series, format: TimeFormat) -> Iterable[Fault | None]:
    faults: list[Fault | None] = [None] * len(column)
    for row in np.flatnonzero(read.isna()):
        value = column.iloc[row]
        why = "there is none" if _is_missing(value) else f"{str(value)[:40]!r} is none"
        faults[row] = Fault("is_time", f"{why}: write {format.example}")
    return faults


def _target_faults(target: pd.Series, table: Table, spec: PipelineSpec) -> Iterable[Fault | None]:
    """A label that is no number among numbers, or in a regression; a missing one is none yet."""
    bad = np.array(table.unreadable.get(spec.target, np.zeros(len(target), dtype=bool)))
    if spec.task == "regression" and _is_mixed(target):
        bad |= target.notna().to_numpy() & pd.to_numeric(target, errors="coerce").isna().to_numpy()
    faults: list[Fault | None] = [None] * len(target)
    for row in np.flatnonzero(bad):
        value = target.iloc[row]
        shown = "it" if _is_missing(value) else f"{str(value)[:40]!r}"
        faults[row] = Fault("is_number", f"{shown} is no finite number")
    return faults


def _check_share(raw: pd.DataFrame, bad: NDArray[np.bool_], share: float) -> None:
    if bad.sum() <= share * len(bad):
        return
    shown = " and ".join(f"row {row}: {raw[FAULT].iloc[row]}" for row in np.flatnonzero(bad)[:2])
    raise SourceError(
        f"source.uri: {int(bad.sum()):,} of {len(bad):,} rows cannot be used, {shown}; "
        "mend them, or raise validation.quarantine_share"
    )


def _is_mixed(column: pd.Series) -> bool:
    # A dtype of strings is `object` as well: text is one or the other by pandas' release.
    return pd.api.types.is_string_dtype(column.dtype) or isinstance(
        column.dtype, pd.CategoricalDtype
    )


def _as_text(column: pd.Series, spec: PipelineSpec) -> pd.Series:
    values = column.tolist()
    if column.name not in spec.ignore:
        for row, value in enumerate(values):
            if isinstance(value, list | dict | tuple) or hasattr(value, "__array__"):
                raise SourceError(
                    f"column {column.name!r} holds {type(value).__name__} in row {row}: "
                    "a feature is a number or a text; put the column under ignore"
                )
    texts = [
        value if type(value) is str else None if _is_missing(value) else canonical_label(value)
        for value in values
    ]
    return pd.Series(texts, index=column.index, dtype=object)


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or value != value  # noqa: PLR0124


def _read(spec: PipelineSpec, folder: Path | None, fetch: Fetch | None) -> Table:
    uri = spec.source.uri
    as_text = () if spec.time is None else (spec.time,)
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        if fetch is None:
            raise SourceError(f"source.uri: {uri} cannot be read here: no store is configured")
        data = fetch(parts.netloc, parts.path.lstrip("/"))
        return read_table(data, uri, spec.source, as_text=as_text)
    if parts.scheme not in ("", "file"):
        raise SourceError(f"source.uri: {uri}: write a path or s3://bucket/key")
    if folder is None:
        raise SourceError(
            f"source.uri: {uri} is a path, and the folder of {spec.name} is not in sight here: put "
            "it below one of PERENNIAL_PIPELINES, or have the source lie in s3://bucket/key"
        )
    path = locate(parts.path if parts.scheme else uri, folder)
    if not path.exists() and spec.source.made_by is not None:
        _make(folder / spec.source.made_by, folder)
    if not path.exists():
        raise SourceError(f"source.uri: there is no file {path}")
    return read_table(path, str(path), spec.source, as_text=as_text)


def locate(uri: str, folder: Path | None) -> Path:
    """Resolve a path of a spec against the folder that its pipeline.yaml lies in."""
    path = Path(uri)
    return path if path.is_absolute() or folder is None else folder / path


def _make(script: Path, folder: Path) -> None:
    if not script.resolve().is_relative_to(folder.resolve()):
        raise SourceError(f"source.made_by: {script} does not lie beside pipeline.yaml")
    if not script.is_file():
        raise SourceError(f"source.made_by: there is no script {script}")
    command = [sys.executable, str(script.resolve())]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        raise SourceError(f"source.made_by: {script} failed: {last}")


def _check_columns(frame: pd.DataFrame, spec: PipelineSpec, left_out: tuple[str, ...]) -> None:
    known = _some(frame.columns)
    for key, column in (("target", spec.target), ("time", spec.time)):
        if column in left_out:
            raise SourceError(f"{key}: {column!r} is a name of the log's own: rename the column")
        if column is not None and column not in frame.columns:
            raise SourceError(f"{key}: there is no column {column!r}; there are {known}")
    for column in spec.ignore:
        if column not in frame.columns and column not in left_out:
            raise SourceError(f"ignore: there is no column {column!r}; there are {known}")
    if frame[spec.target].isna().all():
        raise SourceError(f"target: {spec.target!r} has no value in any row")
    if not set(frame.columns) - {spec.target, spec.time, *spec.ignore}:
        raise SourceError("ignore: no feature is left besides the target and the time")


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more} more" if more > 0 else "")
