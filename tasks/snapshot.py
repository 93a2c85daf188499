"""Fix the exact rows that a training may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.datasets.labels import labelled_rows, typed_labels
from perennial.datasets.log_reader import SegmentReader
from perennial.datasets.snapshot import Snapshot, find_snapshot, load_snapshot, take_snapshot
from perennial.datasets.source import SourceRows, read_rows
from perennial.datasets.stream import read_span
from perennial.errors import SourceError
from perennial.registry import Declaration
from perennial.spec import PipelineSpec
from perennial.validation.quarantine import Record, row_ids
from tasks.connection import fetch, store


class SnapshotRef(BaseModel):
    """A snapshot by name."""

    pipeline: str
    sha256: str
    rows: int


@dataclass(frozen=True, eq=False)
class Gathered:
    """What a training may use, and what it may not."""

    frame: pd.DataFrame
    unusable: pd.DataFrame
    """As of `Labelled`, and rows of the source that it sets aside."""
    source_rows: int
    spec: PipelineSpec
    """The declaration, as the source completes it."""


def gather(declaration: Declaration, held: Sequence[Record]) -> Gathered:
    """Every row whose truth is known, in time order, but those of windows that are held.

    Raises:
        SourceError: the source cannot be read, or no row has a label.
    """
    spec = declaration.spec
    read = read_rows(spec, declaration.path, fetch=fetch)
    spec, source = read.spec, read.frame
    labelled = labelled_rows(store(), spec, source)
    frame = labelled.frame
    frame = frame.assign(**{spec.target: typed_labels(frame[spec.target], spec.task)})
    frame = frame[frame[spec.target].notna()]
    for record in held:
        frame = frame.drop(_rows_within(spec, source, record), errors="ignore")
        get_run_logger().info("without the rows of %s (%s)", record.name, record.reasons[0])
    if frame.empty:
        raise SourceError(
            f"target: no row of {spec.name} has a value of {spec.target!r} yet"
            + (" outside of windows that are held" if held else "")
        )
    unusable = _together(labelled.unusable, _aside(read, spec))
    return Gathered(frame, unusable, len(source), spec)


def _aside(read: SourceRows, spec: PipelineSpec) -> pd.DataFrame:
    """The rows of the source that cannot be used, by their names in quarantine."""
    for column, cells in read.unreadable.items():
        get_run_logger().warning("%s: %d cells are no number: taken as missing", column, cells)
    names = row_ids(read.aside, read.aside.index.to_numpy(), spec)
    return read.aside.set_axis(pd.Index(names, dtype=object))


def _together(served: pd.DataFrame, aside: pd.DataFrame) -> pd.DataFrame:
    parts = [rows.astype(object) for rows in (served, aside) if len(rows)]
    return pd.concat(parts) if parts else served


def _rows_within(spec: PipelineSpec, source: pd.DataFrame, record: Record) -> list[object]:
    assert record.start is not None
    assert record.end is not None
    rows: list[object] = list(range(record.start.source_rows, record.end.source_rows))
    start, end = record.start, record.end
    if (start.segment, start.offset) != (end.segment, end.offset):
        span = read_span(SegmentReader(store()), spec, source.iloc[:0], start, end)
        rows += list(span["_id"]) if "_id" in span.columns else []
    return rows


def snapshot_rows(declaration: Declaration, frame: pd.DataFrame, source_rows: int) -> SnapshotRef:
    """Write rows once, under the name of their content."""
    spec = declaration.spec
    snapshot = take_snapshot(
        store(),
        spec.name,
        frame,
        source=spec.source.uri,
        source_rows=source_rows,
        from_source=sum(not isinstance(name, str) for name in frame.index),
    )
    get_run_logger().info("%d labelled rows, snapshot %s", snapshot.rows, snapshot.sha256[:12])
    return SnapshotRef(pipeline=spec.name, sha256=snapshot.sha256, rows=snapshot.rows)


def describe(ref: SnapshotRef) -> Snapshot:
    """Read what a reference names."""
    return find_snapshot(store(), ref.pipeline, ref.sha256)


def rows_of(ref: SnapshotRef) -> pd.DataFrame:
    """Read the rows that a reference names."""
    return load_snapshot(store(), describe(ref))
