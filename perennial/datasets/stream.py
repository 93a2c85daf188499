"""The stream: the source's rows, then the rows that were served, cut into windows.

A cursor says how far the monitor has looked. It only ever moves forward, over rows that are already
in the store, so a window once cut never changes.

Segments are taken in the order of their keys. One may come into the store behind the cursor: its
server fixed the key, and the store was away. By the time of its arrival it is told from those that
were taken, and it is taken first at the next look, if its key is not older than `LOOK_BACK`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict
from ulid import ULID

from perennial.datasets.log import ANSWERING_ROLES
from perennial.datasets.log_reader import (
    ARRIVAL_SLACK,
    Segment,
    SegmentReader,
    flatten_together,
)
from perennial.datasets.served import take_types, time_field
from perennial.datasets.windows import first_cut
from perennial.spec import PipelineSpec, Span
from perennial.store import layout

LOOK_BACK = timedelta(days=1)
"""How much older than the newest one a segment may be that comes late and is still judged."""


class Cursor(BaseModel):
    """A place in the stream."""

    model_config = ConfigDict(frozen=True)

    source_rows: int = 0
    """Rows of the source that lie before it."""
    segment: str | None = None
    """The segment of the prediction log that it stands in; None: before the first."""
    offset: int = 0
    """Rows of that segment that lie before it."""
    late: str | None = None
    """The late segment that it stands in, if it stands in one."""
    late_offset: int = 0
    """Rows of that late segment that lie before it."""
    arrived: float = 0.0
    """When the newest of the segments that were taken came into the store; 0: none was."""
    recent: dict[str, float] = {}
    """ULID and arrival of those of them that came shortly before."""

    def has_taken(self, segment: Segment) -> bool:
        """Tell whether a segment whose key lies before this place was taken."""
        if segment.arrived <= self.arrived - ARRIVAL_SLACK:
            return True
        return layout.segment_ulid(segment.key) in self.recent

    def behind(self, segment: Segment, *, late: bool) -> Cursor:
        """The place behind a segment, all of whose rows are taken."""
        arrived = max(self.arrived, segment.arrived)
        recent = {**self.recent, layout.segment_ulid(segment.key): segment.arrived}
        update: dict[str, object] = {
            "late": None,
            "late_offset": 0,
            "arrived": arrived,
            "recent": {n: at for n, at in recent.items() if at > arrived - ARRIVAL_SLACK},
        }
        if not late:
            update["segment"], update["offset"] = segment.key, segment.rows
        return self.model_copy(update=update)

    def within(self, segment: Segment, offset: int, *, late: bool) -> Cursor:
        """The place before a row of the segment that comes next."""
        if late:
            return self.model_copy(update={"late": segment.key, "late_offset": offset})
        return self.behind(segment, late=False).model_copy(update={"offset": offset})


@dataclass(frozen=True)
class Window:
    """Rows that are judged together, and where they lie."""

    start: Cursor
    end: Cursor
    frame: pd.DataFrame
    """Features, and for served rows the log's own columns; source rows carry their target. With
    what makes a row unusable, if anything does (see `perennial.datasets.served`)."""


def cut_windows(
    reader: SegmentReader, spec: PipelineSpec, source: pd.DataFrame, cursor: Cursor
) -> Iterator[Window]:
    """Yield the full windows behind a cursor, the oldest first. What is left over waits.

    `first_cut` says where a window ends.

    Args:
        source: the whole source; rows before ``cursor.source_rows`` are passed over.
    """
    size = spec.monitor.window
    start, end = cursor, cursor
    parts: list[pd.DataFrame] = []
    pieces: list[_Piece] = []
    for piece in _pieces_behind(reader, spec, source, cursor):
        parts.append(piece.frame)
        pieces.append(piece)
        if size.rows is not None and sum(map(len, parts)) < size.rows:
            continue
        held = pd.concat(parts, ignore_index=True)
        taken = 0
        while (cut := first_cut(held.iloc[taken:], spec.time, size)) is not None:
            taken += cut
            end = _place_before(pieces, len(held) - taken)
            yield Window(start, end, held.iloc[taken - cut : taken].reset_index(drop=True))
            start = end
        parts = [held.iloc[taken:]]
        pieces = _newest(pieces, len(held) - taken)


def read_span(
    reader: SegmentReader, spec: PipelineSpec, source: pd.DataFrame, start: Cursor, end: Cursor
) -> pd.DataFrame:
    """Read the rows between two cursors again, as `cut_windows` gave them."""
    parts = [source.iloc[start.source_rows : end.source_rows]]
    spans: list[_Slice] = []
    if end.segment is not None:
        prefix = end.segment.rsplit("/", 1)[0] + "/"
        for segment, late in _segments_behind(reader, prefix, start):
            if not late and segment.key > end.segment:
                break
            if not end.has_taken(segment) and segment.key not in (end.late, end.segment):
                continue
            low, high = _begin(start, segment, late=late), segment.rows
            if segment.key == end.late:
                high = end.late_offset
            elif segment.key == end.segment and not late:
                high = end.offset
            spans.append(_Slice(segment, late, low, high))
    parts += [_answering(frame) for _, frame in _flattened(reader, spec, source, spans)]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


@dataclass(frozen=True)
class _Piece:
    """Rows that stand together in the stream, and the places around them."""

    before: Cursor
    behind: Cursor
    frame: pd.DataFrame
    segment: Segment | None = None
    """None: they are the source's."""
    late: bool = False

    def place_before(self, left: int) -> Cursor:
        """The place before the last ``left`` of the rows."""
        if left == 0:
            return self.behind
        if self.segment is None:
            rows = self.behind.source_rows - left
            return self.behind.model_copy(update={"source_rows": rows})
        first_left = int(self.frame["_row"].iloc[len(self.frame) - left])
        return self.before.within(self.segment, first_left, late=self.late)


def _place_before(pieces: list[_Piece], left: int) -> Cursor:
    """The place before the last ``left`` rows of several pieces."""
    at = len(pieces) - 1
    while left > len(pieces[at].frame):
        left -= len(pieces[at].frame)
        at -= 1
    return pieces[at].place_before(left)


def _newest(pieces: list[_Piece], rows: int) -> list[_Piece]:
    """The last of the pieces, those that hold so many rows together."""
    count = 0
    while rows > 0:
        count += 1
        rows -= len(pieces[-count].frame)
    return pieces[len(pieces) - count :]


def _pieces_behind(
    reader: SegmentReader, spec: PipelineSpec, source: pd.DataFrame, cursor: Cursor
) -> Iterator[_Piece]:
    """Yield the pieces of the stream behind a cursor."""
    fresh = source.iloc[cursor.source_rows :]
    place = cursor.model_copy(update={"source_rows": max(len(source), cursor.source_rows)})
    if len(fresh):
        yield _Piece(cursor, place, fresh.reset_index(drop=True))
    found = _segments_behind(reader, layout.prediction_log(spec.name), cursor)
    spans = (_Slice(s, late, _begin(cursor, s, late=late), s.rows) for s, late in found)
    for batch, frame in _flattened(reader, spec, source, spans):
        first = 0
        for span in batch:
            behind = place.behind(span.segment, late=span.late)
            if span.rows:
                rows = _answering(frame.iloc[first : first + span.rows])
                yield _Piece(place, behind, rows, span.segment, span.late)
            first += span.rows
            place = behind


def _segments_behind(
    reader: SegmentReader, prefix: str, cursor: Cursor
) -> Iterator[tuple[Segment, bool]]:
    """Yield the segments behind a cursor, and whether they came late: those first, as they came."""
    place = cursor.segment
    found = reader.segments(prefix, since=None if place is None else _look_back(place))
    if place is not None:
        late = [s for s in found if s.key < place and not cursor.has_taken(s)]
        for segment in sorted(late, key=lambda s: (s.key != cursor.late, s.arrived, s.key)):
            yield segment, True
    for segment in found:
        if place is None or segment.key >= place:
            yield segment, False


def _begin(cursor: Cursor, segment: Segment, *, late: bool) -> int:
    """The first row of a segment that lies behind a cursor."""
    if late:
        return cursor.late_offset if segment.key == cursor.late else 0
    return cursor.offset if segment.key == cursor.segment else 0


def _look_back(key: str) -> str:
    """The key of the oldest segment that may come late, seen from a newer one."""
    prefix = key.rsplit("/", 1)[0]
    moment = ULID.from_str(layout.segment_ulid(key)).datetime - LOOK_BACK
    return f"{prefix}/{ULID.from_datetime(moment)}"


class _Slice(NamedTuple):
    """Rows [low, high) of a segment."""

    segment: Segment
    late: bool
    low: int
    high: int

    @property
    def rows(self) -> int:
        return max(0, self.high - self.low)


def _flattened(
    reader: SegmentReader, spec: PipelineSpec, source: pd.DataFrame, spans: Iterable[_Slice]
) -> Iterator[tuple[list[_Slice], pd.DataFrame]]:
    """Yield spans that are alike and their rows, one behind the other; ``_row`` is a row's place in
    its segment."""
    read: list[_Slice] = []

    def tables() -> Iterator[pa.Table]:
        for span in spans:
            read.append(span)
            yield reader.read(span.segment).slice(span.low, span.rows)

    for count, flat in flatten_together(tables(), time_field(spec)):
        batch = read[:count]
        del read[:count]
        frame = take_types(flat, source, spec)
        frame["_row"] = np.concatenate([span.low + np.arange(span.rows) for span in batch])
        yield batch, frame


def _answering(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["_role"].isin(ANSWERING_ROLES)].reset_index(drop=True)


def window_rows(spec: PipelineSpec, frame: pd.DataFrame) -> int:
    """How many rows a window of the monitor holds: as declared, or as its duration usually does.

    Args:
        frame: rows of the stream in time order, with the time column where one is declared.
    """
    return _rows_of(spec.monitor.window, spec, frame) or 1


def label_lag(spec: PipelineSpec, frame: pd.DataFrame) -> int:
    """By how many rows the newest truth is older than a row that asks; 1 where none is late.

    Args:
        frame: as for `window_rows`.
    """
    return _rows_of(spec.labels.delay, spec, frame) + 1


def _rows_of(size: Span, spec: PipelineSpec, frame: pd.DataFrame) -> int:
    if size.duration is None:
        return size.rows or 0
    if spec.time is None or len(frame) < 2:
        return len(frame)
    span = frame[spec.time].iloc[-1] - frame[spec.time].iloc[0]
    return max(1, int(len(frame) * (size.duration / span))) if span else len(frame)
