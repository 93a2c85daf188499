"""The stream as the object store holds it: the source, then the log of what was served."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pandas as pd
from ulid import ULID

from perennial.datasets.feedback import FeedbackSeen, look_at_feedback
from perennial.datasets.labels import Told, labels_for
from perennial.datasets.log_reader import Arrived, SegmentReader
from perennial.datasets.snapshot import find_snapshot, rebuild_source
from perennial.datasets.source import Fetch, read_source
from perennial.datasets.stream import LOOK_BACK, Cursor, Window, cut_windows, read_span
from perennial.errors import NotFound, SourceError
from perennial.packaging.labels import LabelRule
from perennial.registry import Declaration, Manifest
from perennial.spec import PipelineSpec
from perennial.store import Store, layout

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class LogStream:
    """See `perennial.loop.ports.Stream`."""

    reader: SegmentReader
    spec: PipelineSpec
    source: pd.DataFrame
    away: str | None = None

    @property
    def requests(self) -> Arrived:
        """Segments of what was asked that are known."""
        return self.reader.known[layout.prediction_log(self.spec.name)]

    @property
    def labels(self) -> Arrived:
        """The same of what was true."""
        return self.reader.known[layout.feedback_log(self.spec.name)]

    def windows(self, place: Cursor) -> Iterator[Window]:
        """Yield the full windows behind a place; see `cut_windows`."""
        return cut_windows(self.reader, self.spec, self.source, place)

    def read(self, start: Cursor, end: Cursor) -> pd.DataFrame:
        """Read the rows between two places again."""
        return read_span(self.reader, self.spec, self.source, start, end)

    def holds(self, start: Cursor, end: Cursor) -> bool:
        """Tell whether the rows of the source between two places can be read."""
        return start.source_rows >= end.source_rows or end.source_rows <= len(self.source)

    def told(self, frame: pd.DataFrame, rule: LabelRule) -> Told:
        """What the source and the feedback log say."""
        return labels_for(self.reader, self.spec.name, frame, self.spec.target, rule)

    def feedback(
        self, rule: LabelRule, *, after: datetime | None, until: datetime, since: str | None
    ) -> FeedbackSeen | None:
        """Sum up the labels that came in a span of time."""
        name = self.spec.name
        return look_at_feedback(self.reader, name, rule, after=after, until=until, since=since)


def reader_from(store: Store, pipeline: str, place: Cursor | None) -> SegmentReader:
    """Read both logs as they are now, whatever comes into them later.

    Args:
        place: a look goes no further back than this; None: to the beginning.
    """
    begin = None
    if place is not None and place.segment is not None:
        begin = ULID.from_str(layout.segment_ulid(place.segment)).datetime - LOOK_BACK
    reader = SegmentReader(store)
    for prefix in (layout.prediction_log(pipeline), layout.feedback_log(pipeline)):
        since = None if begin is None else f"{prefix}{ULID.from_datetime(begin)}"
        reader.known[prefix] = Arrived.of(reader.segments(prefix, since=since), begin)
    return reader


def see_source(
    store: Store, declaration: Declaration, champion: Manifest, fetch: Fetch
) -> tuple[pd.DataFrame, str | None]:
    """Read the source; where it is away, take the rows that the champion was trained on.

    New rows of the source wait until it is back; what was served can be judged without it.

    Returns:
        The rows by their places, and why the source cannot be read.

    Raises:
        SourceError: the source cannot be read, and the champion's snapshot has not its columns.
    """
    spec = declaration.spec
    try:
        return read_source(spec, declaration.path, fetch=fetch), None
    except (SourceError, NotFound) as error:
        snapshot = find_snapshot(store, spec.name, champion.lineage.snapshot)
        frame = rebuild_source(store, snapshot)
        if frame.empty or not {spec.target, spec.time} - {None} <= set(frame.columns):
            raise
        logger.warning("the source is away, its last snapshot stands in: %s", error)
        return frame, str(error)
