"""The loop on a recorded stream, in memory: the adapter beside the object store.

Rows come window by window, labels when they are due; what decides, trains, judges and takes over is
`perennial.loop`, as in production. Time is counted in rows: what a rollout waits for is rows and
labels, hours do not pass.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa

from perennial.backtest.stream import Recorded
from perennial.datasets.feedback import FeedbackSeen
from perennial.datasets.labels import Told
from perennial.datasets.log import FEEDBACK_SCHEMA
from perennial.datasets.log_reader import Arrived
from perennial.datasets.snapshot import Snapshot
from perennial.datasets.stream import Cursor, Window
from perennial.errors import NotFound, SourceError
from perennial.loop.gathered import Gathered
from perennial.packaging.labels import LabelRule
from perennial.store import layout
from perennial.store.memory import MemoryStore
from perennial.validation.quarantine import Quarantine

BEGAN = datetime(2000, 1, 1, tzinfo=UTC)
A_ROW = timedelta(minutes=1)
"""From one row to the next. A server follows a change of the state within seconds, so that nearly
each row counts in the stage in which it is asked."""
_NOTHING = Arrived(newest=0.0)


@dataclass(frozen=True, eq=False)
class MemoryStream:
    """The stream as it is at the end of a window; see `perennial.loop.ports.Stream`."""

    recorded: Recorded
    window: int
    """The one that has just come, counted from 0."""
    away: None = None

    @property
    def requests(self) -> Arrived:
        """There are no segments."""
        return _NOTHING

    @property
    def labels(self) -> Arrived:
        """There are no segments."""
        return _NOTHING

    @cached_property
    def source(self) -> pd.DataFrame:
        """The first fraction."""
        return self.recorded.frame.iloc[: self.recorded.where.first]

    def windows(self, place: Cursor) -> Iterator[Window]:
        """Yield the window that has come."""
        end = Cursor(source_rows=self.recorded.where.rows(self.window)[1])
        yield Window(place, end, self.read(place, end))

    def read(self, start: Cursor, end: Cursor) -> pd.DataFrame:
        """Read the rows between two places."""
        rows = self.recorded.asked.iloc[start.source_rows : end.source_rows]
        return rows.reset_index(drop=True)

    def holds(self, start: Cursor, end: Cursor) -> bool:  # noqa: ARG002
        """All of it can be read."""
        return True

    def told(self, frame: pd.DataFrame, rule: LabelRule) -> Told:  # noqa: ARG002
        """What is known of the truth of rows."""
        rows = self.recorded.rows_of(frame)
        values = self.recorded.labels.iloc[rows].astype(object).set_axis(frame.index)
        known = (rows < self.recorded.where.labelled(self.window + 1)) & values.notna().to_numpy()
        return Told(values.where(known, None), [None] * len(frame))

    def feedback(self, rule: LabelRule, **span: Any) -> FeedbackSeen | None:  # noqa: ARG002
        """Every label belongs to a row here."""
        return None

    def gather(self, quarantine: Quarantine) -> Gathered:
        """Every row whose truth is known, but those of windows that are held.

        Raises:
            SourceError: there is none.
        """
        known = self.recorded.where.labelled(self.window + 1)
        usable = self.recorded.labels.notna().to_numpy().copy()
        usable[known:] = False
        for record in quarantine.held_windows():
            assert record.start is not None
            assert record.end is not None
            usable[record.start.source_rows : record.end.source_rows] = False
        frame, spec = self.recorded.learnable[usable], self.recorded.spec
        if frame.empty:
            raise SourceError(f"target: no row to begin with has a value of {spec.target!r}")
        return Gathered(frame, frame.iloc[:0], self.recorded.where.first, spec)


@dataclass(frozen=True, eq=False)
class MemorySnapshots:
    """See `perennial.datasets.snapshot.Snapshots`: what is kept is the frame itself."""

    store: MemoryStore
    pipeline: str
    _frames: dict[str, pd.DataFrame] = field(default_factory=dict)

    def rows(self, sha256: str) -> pd.DataFrame:
        """Give the rows of a snapshot."""
        if sha256 not in self._frames:
            raise NotFound(layout.snapshot(self.pipeline, sha256))
        return self._frames[sha256]

    def take(
        self, frame: pd.DataFrame, *, source: str, source_rows: int, from_source: int
    ) -> Snapshot:
        """Keep rows under a number, as nobody has to check them."""
        # A name is told by its beginning, too.
        name = f"{len(self._frames) + 1:012x}{'0' * 52}"
        self._frames[name] = frame.reset_index(drop=True)
        made = Snapshot(
            sha256=name,
            pipeline=self.pipeline,
            file=layout.snapshot_data(self.pipeline, name),
            rows=len(frame),
            columns={str(column): str(kind) for column, kind in frame.dtypes.items()},
            source=source,
            source_rows=source_rows,
            from_source=from_source,
            created_at=BEGAN,
        )
        self.store.put_json(layout.snapshot(self.pipeline, name), made)
        return made


@dataclass(eq=False)
class MemoryLog:
    """What was asked and told while a rollout is under way."""

    recorded: Recorded
    rows: list[tuple[datetime, pd.DataFrame]] = field(default_factory=list)
    """With the log's own columns, and when they were asked."""
    told: list[tuple[int, int]] = field(default_factory=list)
    """First row whose label came, and the one behind the last."""

    def labels(self, low: int, high: int) -> pa.Table:
        """The labels of some rows, as the log has them."""
        labels = self.recorded.labels.iloc[low:high]
        known = labels.notna().to_numpy()
        values = [json.dumps(value) for value in labels[known].tolist()]
        names = self.recorded.names[low:high][known].tolist()
        return pa.table(
            {"id": names, "time": [BEGAN] * len(names), "label": values}, schema=FEEDBACK_SCHEMA
        )


class MemoryFeed:
    """What a log says to one observer; see `perennial.rollout.tail.Feed`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._rows = self._told = 0

    def requests(self) -> Iterator[tuple[datetime, pd.DataFrame]]:
        """Rows that came since the last time."""
        fresh = self._log.rows[self._rows :]
        self._rows += len(fresh)
        yield from fresh

    def labels(self) -> Iterator[pa.Table]:
        """Labels that came since the last time."""
        fresh = self._log.told[self._told :]
        self._told += len(fresh)
        for low, high in fresh:
            yield self._log.labels(low, high)
