"""The exact data of one training, named by the sha256 of its content."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.errors import StoreError
from perennial.packaging.signature import canonical_label
from perennial.store import Store, layout
from perennial.store.lease import utc_now


class Snapshot(BaseModel):
    """``snapshots/<sha256>.json``."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    sha256: str
    """Over column names, types and values in order; not over the file's encoding."""
    pipeline: str
    file: str
    """Key of the Parquet file with the rows."""
    rows: int
    columns: dict[str, str]
    """Arrow type by column."""
    source: str
    """Address of the source."""
    source_rows: int
    """Rows of the source when it was read."""
    from_source: int
    """The first so many of its rows are the source's; the others were served and labelled."""
    created_at: AwareDatetime


class Snapshots(Protocol):
    """The snapshots of one pipeline, wherever they are kept."""

    def rows(self, sha256: str) -> pd.DataFrame:
        """Give the rows of a snapshot.

        Raises:
            NotFound: there is no such snapshot.
            StoreError: it was altered.
        """
        ...

    def take(
        self, frame: pd.DataFrame, *, source: str, source_rows: int, from_source: int
    ) -> Snapshot:
        """Keep the rows of a training under a name of their own; arguments as of `Snapshot`."""
        ...


@dataclass(frozen=True)
class StoredSnapshots:
    """Those that lie in the store: see `Snapshots`."""

    store: Store
    pipeline: str

    def rows(self, sha256: str) -> pd.DataFrame:
        """Read the rows of a snapshot and hold them against its name."""
        return load_snapshot(self.store, find_snapshot(self.store, self.pipeline, sha256))

    def take(
        self, frame: pd.DataFrame, *, source: str, source_rows: int, from_source: int
    ) -> Snapshot:
        """Write the rows of a training once."""
        return take_snapshot(
            self.store,
            self.pipeline,
            frame,
            source=source,
            source_rows=source_rows,
            from_source=from_source,
        )


def take_snapshot(
    store: Store,
    pipeline: str,
    frame: pd.DataFrame,
    *,
    source: str,
    source_rows: int,
    from_source: int,
) -> Snapshot:
    """Write the rows of a training once; the same content gives the same name."""
    table = _to_arrow(frame)
    sha256 = content_hash(table)
    known = store.find(layout.snapshot(pipeline, sha256))
    if known is not None:
        return Snapshot.model_validate_json(known.data)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    file = layout.snapshot_data(pipeline, sha256)
    store.put(file, buffer.getvalue())
    snapshot = Snapshot(
        sha256=sha256,
        pipeline=pipeline,
        file=file,
        rows=table.num_rows,
        columns={field.name: str(field.type) for field in table.schema},
        source=source,
        source_rows=source_rows,
        from_source=from_source,
        created_at=utc_now(),
    )
    store.put_json(layout.snapshot(pipeline, sha256), snapshot)
    return snapshot


def find_snapshot(store: Store, pipeline: str, sha256: str) -> Snapshot:
    """Read a snapshot's description.

    Raises:
        NotFound: there is no such snapshot.
    """
    return Snapshot.model_validate_json(store.get(layout.snapshot(pipeline, sha256)).data)


def load_snapshot(store: Store, snapshot: Snapshot) -> pd.DataFrame:
    """Read a snapshot's rows and hold them against its name.

    Raises:
        StoreError: the content is not what the name says.
    """
    try:
        table = pq.read_table(io.BytesIO(store.get(snapshot.file).data))
    except (pa.ArrowException, OSError) as error:
        fault = " ".join(str(error).split())
        raise StoreError(f"{snapshot.file} was altered or damaged: {fault}") from None
    if content_hash(table) != snapshot.sha256:
        raise StoreError(f"{snapshot.file} is not what its name says: it was altered or damaged")
    return table.to_pandas()


def span_of(frame: pd.DataFrame, time: str | None) -> tuple[datetime | None, datetime | None]:
    """When the first and the last of some rows were; None where no time is known.

    Args:
        time: name of the time column; None: the pipeline has none.
    """
    if time is None or time not in frame.columns or frame[time].isna().all():
        return None, None
    if not pd.api.types.is_datetime64_any_dtype(frame[time].dtype):
        return None, None
    return frame[time].min().to_pydatetime(), frame[time].max().to_pydatetime()


def rebuild_source(store: Store, snapshot: Snapshot) -> pd.DataFrame:
    """A stand-in for a source that is away: as many rows, each from about its place.

    Rows without a label and rows that were refused are in no snapshot: a neighbour stands for each.

    Raises:
        StoreError: the snapshot was altered or damaged.
    """
    kept = load_snapshot(store, snapshot).iloc[: snapshot.from_source]
    places = np.arange(snapshot.source_rows) * len(kept) // max(snapshot.source_rows, 1)
    return kept.iloc[places if len(kept) else []].reset_index(drop=True)


def content_hash(table: pa.Table) -> str:
    """sha256 over the schema and the values, column by column; free of how they are encoded."""
    digest = hashlib.sha256()
    for field, column in zip(table.schema, table.columns, strict=True):
        digest.update(f"{field.name}\0{field.type}\0".encode())
        array = column.combine_chunks()
        digest.update(array.is_null().to_numpy(zero_copy_only=False).tobytes())
        for part in _values(array):
            digest.update(part)
    return digest.hexdigest()


def _values(array: pa.Array) -> Iterator[bytes]:
    """The bytes of an array's values, with a fixed value where one is missing."""
    if pa.types.is_string(array.type):
        text = array.fill_null("")
        yield pc.binary_length(text).to_numpy().tobytes()
        yield "".join(text.to_pylist()).encode()
        return
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    elif pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    yield array.fill_null(0).to_numpy().tobytes()


def _to_arrow(frame: pd.DataFrame) -> pa.Table:
    """Arrow without pandas metadata; object columns as text."""
    columns = {}
    for name in frame.columns:
        column = frame[name]
        is_text = pd.api.types.is_string_dtype(column.dtype)  # `object` is one too
        if is_text or isinstance(column.dtype, pd.CategoricalDtype):
            text = [None if pd.isna(value) else canonical_label(value) for value in column]
            columns[str(name)] = pa.array(text, pa.string())
        else:
            columns[str(name)] = pa.Array.from_pandas(column)
    return pa.table(columns)
