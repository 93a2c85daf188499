"""The stream: the source's rows, then the rows that were served, cut into windows.

A cursor says how far the monitor has looked. It only ever moves forward, over rows that are already
in the store, so a window once cut never changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from ulid import ULID

from perennial.datasets.log import ANSWERING_ROLES
from perennial.datasets.log_reader import (
    Segment,
    SegmentReader,
    flatten_predictions,
    list_segments,
    read_feedback,
    read_predictions,
)
from perennial.datasets.source import parse_time
from perennial.packaging.signature import canonical_label
from perennial.spec import PipelineSpec, Span, Task
from perennial.store import Store, layout

_LABEL_SLACK = timedelta(hours=1)


class Cursor(BaseModel):
    """A place in the stream."""

    model_config = ConfigDict(frozen=True)

    source_rows: int = 0
    """Rows of the source that lie before it."""
    segment: str | None = None
    """The segment of the prediction log that it stands in; None: before the first."""
    offset: int = 0
    """Rows of that segment that lie before it."""


@dataclass(frozen=True)
class Window:
    """Rows that are judged together, and where they lie."""

    start: Cursor
    end: Cursor
    frame: pd.DataFrame
    """Features, and for served rows the log's own columns; source rows carry their target."""


def cut_windows(
    store: Store, spec: PipelineSpec, source: pd.DataFrame, cursor: Cursor
) -> Iterator[Window]:
    """Yield the full windows behind a cursor, the oldest first. What is left over waits.

    Args:
        source: the whole source; rows before ``cursor.source_rows`` are passed over.
    """
    size = spec.monitor.window
    start, end = cursor, cursor
    parts: list[pd.DataFrame] = []
    for place, frame in _rows_behind(store, spec, source, cursor):
        parts.append(frame)
        held = pd.concat(parts, ignore_index=True)
        taken = 0
        while (cut := _first_cut(held.iloc[taken:], spec.time, size)) is not None:
            taken += cut
            left = len(held) - taken
            end = _step_back(place, left, frame)
            yield Window(start, end, held.iloc[taken - cut : taken].reset_index(drop=True))
            start = end
        parts = [held.iloc[taken:]]


def read_span(store: Store, source: pd.DataFrame, start: Cursor, end: Cursor) -> pd.DataFrame:
    """Read the rows between two cursors again, as `cut_windows` gave them."""
    parts = [source.iloc[start.source_rows : end.source_rows]]
    if end.segment is not None:
        prefix = end.segment.rsplit("/", 1)[0] + "/"
        reader = SegmentReader(store)
        for segment in list_segments(store, prefix, since=start.segment, until=end.segment):
            low = start.offset if segment.key == start.segment else 0
            high = end.offset if segment.key == end.segment else segment.rows
            parts.append(_answers(reader, segment, low, high))
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _rows_behind(
    store: Store, spec: PipelineSpec, source: pd.DataFrame, cursor: Cursor
) -> Iterator[tuple[Cursor, pd.DataFrame]]:
    """Yield (place behind the rows, rows) for each piece of the stream behind a cursor."""
    fresh = source.iloc[cursor.source_rows :]
    place = Cursor(
        source_rows=max(len(source), cursor.source_rows),
        segment=cursor.segment,
        offset=cursor.offset,
    )
    if len(fresh):
        yield place, fresh.reset_index(drop=True)
    prefix = layout.prediction_log(spec.name)
    reader = SegmentReader(store)
    for segment in list_segments(store, prefix, since=cursor.segment):
        low = cursor.offset if segment.key == cursor.segment else 0
        if low >= segment.rows:
            continue
        place = place.model_copy(update={"segment": segment.key, "offset": segment.rows})
        yield place, _answers(reader, segment, low, segment.rows)


def _answers(reader: SegmentReader, segment: Segment, low: int, high: int) -> pd.DataFrame:
    """Rows [low, high) of a segment that answered a request; ``_row`` is their place in it."""
    frame = flatten_predictions(reader.read(segment))
    frame["_row"] = np.arange(len(frame))
    frame = frame.iloc[low:high]
    return frame[frame["_role"].isin(ANSWERING_ROLES)].reset_index(drop=True)


def _step_back(place: Cursor, left: int, piece: pd.DataFrame) -> Cursor:
    """Where the window ends when the last ``left`` rows of the newest piece are not in it."""
    if left == 0:
        return place
    if "_row" not in piece.columns:
        return place.model_copy(update={"source_rows": place.source_rows - left})
    first_left = int(piece["_row"].iloc[len(piece) - left])
    return place.model_copy(update={"offset": first_left})


def _first_cut(rows: pd.DataFrame, time: str | None, size: Span) -> int | None:
    """How many rows the next window takes, or None where it is not full yet."""
    if size.duration is None:
        wanted = size.rows or 1
        return wanted if len(rows) >= wanted else None
    if rows.empty:
        return None
    clock = _clock(rows, time)
    beyond = np.flatnonzero(clock >= clock[0] + np.timedelta64(size.duration))
    return int(beyond[0]) if len(beyond) else None


def _clock(rows: pd.DataFrame, time: str | None) -> NDArray[Any]:
    """The time of each row: its time column, else the moment of the request."""
    column = rows[time] if time is not None else rows["_time"]
    parsed = parse_time(column, f"time: {column.name}").to_numpy().astype("datetime64[us]")
    running: NDArray[Any] = np.maximum.accumulate(parsed)
    return running


def window_rows(spec: PipelineSpec, frame: pd.DataFrame) -> int:
    """How many rows a window of the monitor holds: as declared, or as its duration usually does.

    Args:
        frame: rows of the stream in time order, with the time column where one is declared.
    """
    size = spec.monitor.window
    if size.duration is None:
        return size.rows or 1
    if spec.time is None or len(frame) < 2:
        return len(frame)
    span = frame[spec.time].iloc[-1] - frame[spec.time].iloc[0]
    return max(1, int(len(frame) * size.duration / span)) if span else len(frame)


def labels_for(store: Store, pipeline: str, window: pd.DataFrame, target: str) -> pd.Series:
    """The truth of a window's rows as far as it is known.

    Returns:
        One value a row: of the target column for source rows, the parsed JSON scalar of the latest
        feedback for served rows, None where it has not come.
    """
    known = window[target] if target in window.columns else pd.Series(None, window.index, object)
    known = known.astype(object).where(known.notna(), None)
    if "_id" not in window.columns or window["_id"].notna().sum() == 0:
        return known
    earliest = window["_time"].min() - _LABEL_SLACK
    prefix = layout.feedback_log(pipeline)
    since = f"{prefix}{ULID.from_timestamp(earliest.timestamp())}"
    feedback = read_feedback(store, pipeline, since=since)
    told = window["_id"].map(feedback)
    return known.where(told.isna(), told.map(_parse_label))


def labelled_rows(store: Store, spec: PipelineSpec, source: pd.DataFrame) -> pd.DataFrame:
    """All rows whose truth is known, oldest first: what a training may use.

    Returns:
        The source's columns (features, target, and the time where declared), same dtypes as the
        source where the values allow it. The index names the rows: a row of the source by its place
        in it, a served one by its id.
    """
    kept = [c for c in source.columns if c not in spec.ignore]
    history = source.loc[source[spec.target].notna(), kept]
    served = read_predictions(store, list_segments(store, layout.prediction_log(spec.name)))
    if served.empty:
        return history
    feedback = read_feedback(store, spec.name)
    served = served[served["_id"].isin(feedback.index)]
    if served.empty:
        return history
    labels = served["_id"].map(feedback).map(_parse_label)
    served = served.assign(**{spec.target: typed_labels(labels, spec.task)})
    served = served[served[spec.target].notna()]
    if spec.time is not None and spec.time in served.columns:
        served = served.assign(**{spec.time: parse_time(served[spec.time], "time")})
    history = history.assign(**{spec.target: typed_labels(history[spec.target], spec.task)})
    served = served.set_index("_id").reindex(columns=kept)
    together = pd.concat([history, served], ignore_index=True)
    return together.set_axis(pd.Index([*history.index, *served.index], dtype=object))


def typed_labels(labels: pd.Series, task: Task) -> pd.Series:
    """Labels in the one type of their task: float64 for regression, canonical text for classes."""
    if task == "regression":
        return pd.to_numeric(labels, errors="coerce")
    return labels.map(lambda value: None if pd.isna(value) else canonical_label(value))


def _parse_label(text: object) -> object:
    return json.loads(text) if isinstance(text, str) else None
