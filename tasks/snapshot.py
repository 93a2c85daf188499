"""Fix the exact rows that a training may use."""

from __future__ import annotations

import pandas as pd
from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.datasets.snapshot import Snapshot, find_snapshot, load_snapshot, take_snapshot
from perennial.datasets.source import read_source
from perennial.datasets.stream import labelled_rows, typed_labels
from perennial.errors import SourceError
from perennial.registry import Declaration
from tasks.connection import fetch, store
from tasks.step import step


class SnapshotRef(BaseModel):
    """A snapshot by name."""

    pipeline: str
    sha256: str
    rows: int


@step(retries=2, retry_delay_seconds=2)
def snapshot_labelled_rows(declaration: Declaration) -> SnapshotRef:
    """Gather every row whose truth is known, in time order, and write it once.

    Raises:
        SourceError: the source cannot be read, or no row has a label.
    """
    spec = declaration.spec
    source = read_source(spec, declaration.path, fetch=fetch)
    frame = labelled_rows(store(), spec, source)
    frame = frame.assign(**{spec.target: typed_labels(frame[spec.target], spec.task)})
    frame = frame[frame[spec.target].notna()]
    if frame.empty:
        raise SourceError(f"target: no row of {spec.name} has a value of {spec.target!r} yet")
    snapshot = take_snapshot(
        store(), spec.name, frame, source=spec.source.uri, source_rows=len(source)
    )
    get_run_logger().info("%d labelled rows, snapshot %s", snapshot.rows, snapshot.sha256[:12])
    return SnapshotRef(pipeline=spec.name, sha256=snapshot.sha256, rows=snapshot.rows)


def describe(ref: SnapshotRef) -> Snapshot:
    """Read what a reference names."""
    return find_snapshot(store(), ref.pipeline, ref.sha256)


def rows_of(ref: SnapshotRef) -> pd.DataFrame:
    """Read the rows that a reference names."""
    return load_snapshot(store(), describe(ref))
