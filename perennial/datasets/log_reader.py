"""Read the log that the servers wrote: answers and truths as frames."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from perennial.datasets.log import ANSWERING_ROLES, FEEDBACK_SCHEMA, FORMAT, FORMAT_KEY, time_of
from perennial.datasets.merged import MergedFile, open_merged
from perennial.datasets.served import take_times
from perennial.errors import NotFound, StoreError
from perennial.packaging.signature import TimeField
from perennial.store import Store, layout

ARRIVAL_SLACK = 60.0
"""Seconds that a listing may take: what arrived in such a span before the newest segment may have
been overlooked, and is remembered by name."""


@dataclass(frozen=True)
class Segment:
    """A span of a log that came into the store at once, wherever it lies by now.

    Its key stays its name after it was merged into a bigger file, and so does its place in the log.
    """

    key: str
    rows: int
    arrived: float
    """When it came into the store, by the store's clock; seconds since the epoch."""
    merged: MergedFile | None = None
    """The file that it was merged into; None: it is an object of its own."""
    start: int = 0
    """Rows of that file before it."""


class Arrived(BaseModel):
    """Which segments of a log were in the store at some moment: those that came so long before the
    newest of them that no listing overlooks them, and the others by name."""

    model_config = ConfigDict(frozen=True)

    newest: float
    """When the newest came, in seconds since the epoch by the store's clock."""
    recent: dict[str, float] = {}
    """ULID and arrival of those that came shortly before."""

    def holds(self, segment: Segment) -> bool:
        """Tell whether a segment was there."""
        if segment.arrived <= self.newest - ARRIVAL_SLACK:
            return True
        return layout.segment_ulid(segment.key) in self.recent

    @classmethod
    def of(cls, segments: Iterable[Segment], since: datetime | None) -> Arrived:
        """Note what a listing names.

        Args:
            since: how far back it goes; None: to the beginning.
        """
        came = {layout.segment_ulid(segment.key): segment.arrived for segment in segments}
        newest = max(came.values(), default=0.0 if since is None else since.timestamp())
        recent = {name: at for name, at in came.items() if at > newest - ARRIVAL_SLACK}
        return cls(newest=newest, recent=recent)


def list_segments(
    store: Store, prefix: str, *, since: str | None = None, until: str | None = None
) -> list[Segment]:
    """Name the segments under a log's prefix in the order of their arrival, each once.

    Args:
        since, until: keys of segments, or ULIDs under the prefix, both included.
    """
    found: dict[str, Segment] = {}
    merged = []
    for info in store.scan(prefix, after=_right_before(since)):
        if layout.is_merged(info.key):
            merged.append(info)
        else:
            rows = layout.segment_rows(info.key)
            found[info.key] = Segment(info.key, rows, info.modified.timestamp())
    for info in merged:
        if until is None or f"{prefix}{layout.first_merged(info.key)}" <= until:
            found |= {segment.key: segment for segment in members(open_merged(store, info))}
    return [
        found[key]
        for key in sorted(found)
        if (since is None or key >= since) and (until is None or key <= until)
    ]


def members(file: MergedFile) -> Iterator[Segment]:
    """Name the segments that a merged file holds."""
    for (key, rows, start), arrived in zip(file.members(), file.arrivals(), strict=True):
        yield Segment(key, rows, arrived, file, start)


def _right_before(key: str | None) -> str | None:
    """Where a listing has to start to name a segment and every merged file that may hold it."""
    if key is None:
        return None
    prefix, name = key.rsplit("/", 1)
    return f"{prefix}/{name.split('.')[0]}"


class SegmentReader:
    """Names and reads segments wherever they lie: one for each look at a log.

    It lists a log once, so what comes into it later the next reader sees. It keeps what it read
    last, as far as that is small, and the row groups of merged files, of which neighbours lie in
    the same ones; a segment never changes.
    """

    _KEPT = 4
    _KEPT_BYTES = 64 * 2**20

    def __init__(self, store: Store) -> None:
        self._store = store
        self._groups: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()
        self._tables: OrderedDict[str, pa.Table] = OrderedDict()
        self._bytes = 0
        self._listed: dict[str, tuple[str, list[Segment]]] = {}
        self.known: dict[str, Arrived] = {}
        """What it may know of a log, by its prefix; without it all."""
        self.labels: dict[str, tuple[str, pd.DataFrame]] = {}
        """What `read_feedback_log` made of a log, and since when."""

    def segments(self, prefix: str, *, since: str | None = None) -> list[Segment]:
        """As `list_segments`, as it was when this reader first listed so far back."""
        begin = since or ""
        known = self._listed.get(prefix)
        if known is None or begin < known[0]:
            known = begin, list_segments(self._store, prefix, since=since)
            self._listed[prefix] = known
        there = self.known.get(prefix)
        return [
            segment
            for segment in known[1]
            if segment.key >= begin and (there is None or there.holds(segment))
        ]

    def read(self, segment: Segment) -> pa.Table:
        """Read one segment whole, also one that was merged since it was listed.

        Raises:
            NotFound: it is nowhere.
            StoreError: the store cannot be reached, or the segment is damaged.
        """
        if segment.merged is not None:
            return self._slice(segment.merged, segment)
        if segment.key in self._tables:
            self._tables.move_to_end(segment.key)
            return self._tables[segment.key]
        try:
            data = self._store.get(segment.key).data
        except NotFound:
            return self._read_moved(segment)
        return self._keep(segment.key, parse_segment(data, segment.key))

    def _keep(self, key: str, table: pa.Table) -> pa.Table:
        self._tables[key] = table
        self._bytes += table.nbytes
        while self._bytes > self._KEPT_BYTES:
            _, oldest = self._tables.popitem(last=False)
            self._bytes -= oldest.nbytes
        return table

    def _read_moved(self, segment: Segment) -> pa.Table:
        prefix = segment.key.rsplit("/", 1)[0] + "/"
        for found in list_segments(self._store, prefix, since=segment.key, until=segment.key):
            if found.merged is not None:
                return self._slice(found.merged, found)
        raise NotFound(segment.key)

    def _slice(self, file: MergedFile, segment: Segment) -> pa.Table:
        parts = [
            self._group(file, number).slice(low, rows)
            for number, low, rows in file.groups(segment.start, segment.rows)
        ]
        return pa.concat_tables(parts) if parts else file.empty()

    def _group(self, file: MergedFile, number: int) -> pa.Table:
        place = (file.info.key, number)
        if place not in self._groups:
            self._groups[place] = file.read_group(self._store, number)
            if len(self._groups) > self._KEPT:
                self._groups.popitem(last=False)
        self._groups.move_to_end(place)
        return self._groups[place]


def parse_segment(data: bytes, key: str) -> pa.Table:
    """Read the bytes of a segment that is an object of its own, held against its name.

    Raises:
        StoreError: it is damaged, or of another format.
    """
    try:
        table = pq.read_table(io.BytesIO(data))
    except pa.ArrowInvalid as error:
        raise StoreError(f"segment {key} is damaged: {error}") from None
    if table.num_rows != layout.segment_rows(key):
        raise StoreError(f"segment {key} holds {table.num_rows} rows: it was altered or damaged")
    if (table.schema.metadata or {}).get(FORMAT_KEY) != FORMAT:
        raise StoreError(
            f"segment {key} is not of format {FORMAT.decode()}: it was altered, or another "
            "release of Perennial wrote it"
        )
    return table


def flatten_predictions(table: pa.Table, time: TimeField | None = None) -> pd.DataFrame:
    """Spread a segment of the prediction log into a frame.

    Args:
        time: as the pipeline declares it. It is read, as the segment says that it is written (see
            `take_times`); None: it stays what it is.

    Returns:
        One row an answered request. Features and context fields as columns of their own; what the
        system wrote under ``LOG_COLUMNS``, and ``_key`` (0: none) and ``_weight``.
    """
    features = table.column("features").combine_chunks()
    names = [field.name for field in features.type]
    frame = pd.DataFrame(
        {name: features.field(i).to_pandas() for i, name in enumerate(names)},
        index=range(table.num_rows),
    )
    for column, name in LOG_COLUMNS.items():
        frame[name] = table.column(column).to_pandas()
    frame["_key"] = table.column("key").fill_null(0).to_pandas()
    frame["_weight"] = table.column("weight").to_pandas()
    written = time_of(table.schema, time)
    return frame if written is None else take_times(frame, written)


def flatten_together(
    tables: Iterable[pa.Table], time: TimeField | None = None
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Spread segments as `flatten_predictions` does, those of one schema that follow one another
    into one frame: it takes hardly longer than one of them.

    Yields:
        How many segments of those that are left, and their rows.
    """
    alike: list[pa.Table] = []
    for table in tables:
        if alike and (len(alike) == _TOGETHER or not _is_alike(table, alike[0])):
            yield len(alike), flatten_predictions(pa.concat_tables(alike), time)
            alike = []
        alike.append(table)
    if alike:
        yield len(alike), flatten_predictions(pa.concat_tables(alike), time)


def _is_alike(table: pa.Table, other: pa.Table) -> bool:
    return bool(table.schema.equals(other.schema, check_metadata=True))


_TOGETHER = 64
"""Segments that are spread at once, at most."""


LOG_COLUMNS = {
    "id": "_id",
    "time": "_time",
    "version": "_version",
    "role": "_role",
    "latency": "_latency",
    "output": "_output",
}
"""Columns of the log and the names they carry in a frame, beside the features."""


def read_predictions(
    store: Store, segments: Iterable[Segment], time: TimeField | None = None
) -> pd.DataFrame:
    """Read segments into one frame as `flatten_predictions`: answers only, one row an id."""
    reader = SegmentReader(store)
    frames = [frame for _, frame in flatten_together(map(reader.read, segments), time)]
    if not frames:
        return pd.DataFrame(columns=list(LOG_COLUMNS.values()))
    frame = pd.concat(frames, ignore_index=True)
    frame = frame[frame["_role"].isin(ANSWERING_ROLES)]
    return frame.drop_duplicates("_id", keep="first").reset_index(drop=True)


def read_feedback(reader: SegmentReader, pipeline: str, *, since: str | None = None) -> pd.Series:
    """Read labels: JSON scalars as text, by id; arguments as `read_feedback_log`."""
    return read_feedback_log(reader, pipeline, since=since)["label"]


def read_feedback_log(
    reader: SegmentReader, pipeline: str, *, since: str | None = None
) -> pd.DataFrame:
    """Read labels and when they came, by id; of several for one id the latest.

    Args:
        since: as in `list_segments`. Older labels may be among them: the reader keeps what it has
            been asked for from furthest back.
    """
    prefix = layout.feedback_log(pipeline)
    known = reader.labels.get(prefix)
    if known is None or (since or "") < known[0]:
        known = since or "", _read_labels(reader, prefix, since)
        reader.labels[prefix] = known
    return known[1]


def _read_labels(reader: SegmentReader, prefix: str, since: str | None) -> pd.DataFrame:
    tables = [reader.read(segment) for segment in reader.segments(prefix, since=since)]
    if not tables:
        return FEEDBACK_SCHEMA.empty_table().to_pandas().set_index("id")
    frame = pa.concat_tables(tables).to_pandas().sort_values("time", kind="stable")
    return frame.drop_duplicates("id", keep="last").set_index("id")
