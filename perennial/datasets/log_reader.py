"""Read the log that the servers wrote: answers and truths as frames."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from perennial.datasets.log import ANSWERING_ROLES
from perennial.store import Store, layout


@dataclass(frozen=True)
class Segment:
    """One file of a log: its key and how many rows it holds."""

    key: str
    rows: int


def list_segments(store: Store, prefix: str, *, after: str | None = None) -> list[Segment]:
    """Name the segments under a log's prefix in the order of their arrival."""
    found = store.scan(prefix, after=after)
    return [Segment(info.key, layout.segment_rows(info.key)) for info in found]


def read_segment(store: Store, segment: Segment) -> pa.Table:
    """Read one segment whole."""
    return pq.read_table(io.BytesIO(store.get(segment.key).data))


def flatten_predictions(table: pa.Table) -> pd.DataFrame:
    """Spread a segment of the prediction log into a frame.

    Returns:
        One row an answered request. Features and context fields as columns of their own; what the
        system wrote under ``LOG_COLUMNS``.
    """
    features = table.column("features").combine_chunks()
    names = [field.name for field in features.type]
    frame = pd.DataFrame(
        {name: features.field(i).to_pandas() for i, name in enumerate(names)},
        index=range(table.num_rows),
    )
    for column, name in LOG_COLUMNS.items():
        frame[name] = table.column(column).to_pandas()
    return frame


LOG_COLUMNS = {
    "id": "_id",
    "time": "_time",
    "version": "_version",
    "role": "_role",
    "output": "_output",
}
"""Columns of the log and the names they carry in a frame, beside the features."""


def read_predictions(store: Store, segments: Iterable[Segment]) -> pd.DataFrame:
    """Read segments into one frame as `flatten_predictions`: answers only, one row an id."""
    frames = [flatten_predictions(read_segment(store, segment)) for segment in segments]
    if not frames:
        return pd.DataFrame(columns=list(LOG_COLUMNS.values()))
    frame = pd.concat(frames, ignore_index=True)
    frame = frame[frame["_role"].isin(ANSWERING_ROLES)]
    return frame.drop_duplicates("_id", keep="first").reset_index(drop=True)


def read_feedback(store: Store, pipeline: str, *, after: str | None = None) -> pd.Series:
    """Read labels: JSON scalars as text, by id; of several for one id the latest."""
    segments = list_segments(store, layout.feedback_log(pipeline), after=after)
    tables = [read_segment(store, segment) for segment in segments]
    if not tables:
        return pd.Series(dtype=object)
    frame = pa.concat_tables(tables).to_pandas().sort_values("time", kind="stable")
    return frame.drop_duplicates("id", keep="last").set_index("id")["label"]
