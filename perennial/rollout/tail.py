"""Follow a log as it grows."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
from ulid import ULID

from perennial.datasets.log_reader import SegmentReader, list_segments
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


def _sent_off(key: str) -> datetime:
    return ULID.from_str(layout.segment_ulid(key)).datetime
