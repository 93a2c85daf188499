"""Follow a log as it grows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Protocol

import pandas as pd
import pyarrow as pa
from ulid import ULID

from perennial.datasets.log_reader import SegmentReader, flatten_predictions, list_segments
from perennial.store import Store, layout

CLOCK_SLACK = timedelta(minutes=1)
"""How far the clocks of servers and runs may be apart."""


class Tail:
    """Segments of a log, each read once."""

    def __init__(self, store: Store, prefix: str, since: datetime) -> None:
        self._store = store
        self._prefix = prefix
        self._reader = SegmentReader(store)
        self._known: set[str] = set()
        self._since = self._key(since)

    def read(self) -> list[tuple[datetime, pa.Table]]:
        """Read the segments that have come since the last time; each with when it was sent off.

        One that was named a little before the last one and came late, from a server whose store
        was away, is among them.
        """
        found = list_segments(self._store, self._prefix, since=self._since)
        fresh = [segment for segment in found if segment.key not in self._known]
        tables = [(_sent_off(segment.key), self._reader.read(segment)) for segment in fresh]
        if fresh:
            self._known.update(segment.key for segment in fresh)
            self._since = max(self._since, self._key(tables[-1][0]))
        return tables

    def _key(self, moment: datetime) -> str:
        return f"{self._prefix}{ULID.from_datetime(moment - CLOCK_SLACK)}"


class Feed(Protocol):
    """What was asked, answered and true, as it comes: each row and label once."""

    def requests(self) -> Iterable[tuple[datetime, pd.DataFrame]]:
        """Rows as `flatten_predictions` gives them, those that came since the last time; each frame
        with when it was sent off."""
        ...

    def labels(self) -> Iterable[pa.Table]:
        """Labels that came since the last time: ``id``, and ``label`` as a JSON scalar."""
        ...


class LogFeed:
    """What the log in the store says; see `Feed`."""

    def __init__(self, store: Store, pipeline: str, since: datetime) -> None:
        self._requests = Tail(store, layout.prediction_log(pipeline), since)
        self._labels = Tail(store, layout.feedback_log(pipeline), since)

    def requests(self) -> Iterator[tuple[datetime, pd.DataFrame]]:
        """Rows that came since the last time."""
        for sent_off, table in self._requests.read():
            yield sent_off, flatten_predictions(table)

    def labels(self) -> Iterator[pa.Table]:
        """Labels that came since the last time."""
        for _, table in self._labels.read():
            yield table


def _sent_off(key: str) -> datetime:
    return ULID.from_str(layout.segment_ulid(key)).datetime
