"""The labelled history that a spec names, as a frame in time order."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from perennial.errors import SourceError
from perennial.packaging.signature import canonical_label
from perennial.spec import PipelineSpec

_CSV = (".csv", ".csv.gz")
Fetch = Callable[[str, str], bytes]
"""Reads an S3 object: (bucket, key) -> bytes."""


def read_source(
    spec: PipelineSpec, folder: Path | None, *, fetch: Fetch | None = None
) -> pd.DataFrame:
    """Read the whole source, checked against the spec, in time order.

    Args:
        folder: where the pipeline.yaml lies; relative paths start there.
        fetch: reads ``s3://`` addresses.

    Returns:
        All columns as they stand; the time column, where one is declared, as datetime64, sorted by
        it (rows of the same time keep their order), else row order. Text columns hold str and None
        alone: other values stand as `canonical_label` writes them, which is how the server and the
        log write them too. The index counts from 0.

    Raises:
        SourceError: it cannot be found or read, is empty, or lacks a column that the spec names.
    """
    frame = _read(spec, folder, fetch)
    where = spec.source.uri
    if frame.empty:
        raise SourceError(f"source.uri: {where} holds no rows")
    _check_columns(frame, spec)
    if spec.time is not None:
        frame = frame.assign(**{spec.time: parse_time(frame[spec.time], f"time: {spec.time}")})
        frame = frame.sort_values(spec.time, kind="stable")
    mixed = [name for name in frame.columns if name != spec.target and _is_mixed(frame[name])]
    frame = frame.assign(**{name: _as_text(frame[name], spec) for name in mixed})
    return frame.reset_index(drop=True)


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


def parse_time(column: pd.Series, where: str) -> pd.Series:
    """Read a time column: ISO dates, datetimes, or numbers as seconds since 1970 UTC.

    Raises:
        SourceError: a value is no time; names the first.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.dt.tz_localize(None) if column.dt.tz is not None else column
    if pd.api.types.is_numeric_dtype(column):
        parsed = pd.to_datetime(column, unit="s", errors="coerce")
    else:
        parsed = pd.to_datetime(column, errors="coerce", utc=True, format="mixed")
        parsed = parsed.dt.tz_localize(None)
    bad = parsed.isna()
    if bad.any():
        row = int(bad.to_numpy().argmax())
        raise SourceError(f"{where}: {column.iloc[row]!r} in row {row} is no time")
    return parsed


def _read(spec: PipelineSpec, folder: Path | None, fetch: Fetch | None) -> pd.DataFrame:
    uri = spec.source.uri
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        if fetch is None:
            raise SourceError(f"source.uri: {uri} cannot be read here: no store is configured")
        return _parse(io.BytesIO(fetch(parts.netloc, parts.path.lstrip("/"))), uri)
    if parts.scheme not in ("", "file"):
        raise SourceError(f"source.uri: {uri}: write a path or s3://bucket/key")
    path = locate(parts.path, folder)
    if not path.exists() and spec.source.made_by is not None and folder is not None:
        _make(folder / spec.source.made_by, folder)
    if not path.exists():
        raise SourceError(f"source.uri: there is no file {path}")
    return _parse(path, str(path))


def locate(uri: str, folder: Path | None) -> Path:
    """Resolve a path of a spec against the folder that its pipeline.yaml lies in."""
    path = Path(uri)
    return path if path.is_absolute() or folder is None else folder / path


def _parse(where: Path | io.BytesIO, name: str) -> pd.DataFrame:
    try:
        if name.endswith(_CSV):
            packed = "gzip" if name.endswith(".gz") else None
            return pd.read_csv(where, low_memory=False, compression=packed)
        if name.endswith(".parquet") or (isinstance(where, Path) and where.is_dir()):
            return pd.read_parquet(where)
    except (OSError, ValueError, pd.errors.ParserError) as error:
        raise SourceError(f"source.uri: {name} cannot be read: {error}") from None
    raise SourceError(f"source.uri: {name} is neither csv, csv.gz, parquet nor a folder of parquet")


def _make(script: Path, folder: Path) -> None:
    if not script.is_file():
        raise SourceError(f"source.made_by: there is no script {script}")
    command = [sys.executable, str(script.resolve())]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        raise SourceError(f"source.made_by: {script} failed: {last}")


def _check_columns(frame: pd.DataFrame, spec: PipelineSpec) -> None:
    known = ", ".join(map(str, frame.columns))
    for key, column in (("target", spec.target), ("time", spec.time)):
        if column is not None and column not in frame.columns:
            raise SourceError(f"{key}: there is no column {column!r}; there are {known}")
    for column in spec.ignore:
        if column not in frame.columns:
            raise SourceError(f"ignore: there is no column {column!r}; there are {known}")
    if frame[spec.target].isna().all():
        raise SourceError(f"target: {spec.target!r} has no value in any row")
    if len(frame.columns) - len({spec.target, spec.time, *spec.ignore} - {None}) < 1:
        raise SourceError("ignore: no feature is left besides the target and the time")
