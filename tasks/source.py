"""The source as the monitor needs it, or what stands in for it while it is away."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from prefect.logging import get_run_logger

from perennial.datasets.snapshot import find_snapshot, rebuild_source
from perennial.datasets.source import read_source
from perennial.datasets.stream import Cursor
from perennial.errors import NotFound, SourceError
from perennial.registry import Declaration, Manifest
from tasks.connection import fetch, store


@dataclass(frozen=True, eq=False)
class SourceSeen:
    """The rows of a source by their places."""

    frame: pd.DataFrame
    away: str | None = None
    """Why the source cannot be read; then these are rows of the champion's snapshot."""

    def holds(self, start: Cursor, end: Cursor) -> bool:
        """Tell whether the rows of the source between two places can be read."""
        return start.source_rows >= end.source_rows or end.source_rows <= len(self.frame)


def see_source(declaration: Declaration, champion: Manifest) -> SourceSeen:
    """Read the source; where it is away, take the rows that the champion was trained on.

    New rows of the source wait until it is back; what was served can be judged without it.

    Raises:
        SourceError: the source cannot be read, and the champion's snapshot has not its columns.
    """
    spec = declaration.spec
    try:
        return SourceSeen(read_source(spec, declaration.path, fetch=fetch))
    except (SourceError, NotFound) as error:
        snapshot = find_snapshot(store(), spec.name, champion.lineage.snapshot)
        frame = rebuild_source(store(), snapshot)
        if frame.empty or not {spec.target, spec.time} - {None} <= set(frame.columns):
            raise
        get_run_logger().warning("the source is away, its last snapshot stands in: %s", error)
        return SourceSeen(frame, str(error))
