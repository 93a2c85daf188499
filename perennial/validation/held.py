"""The rows of a window that is held: they stay where they lie in the stream."""

from __future__ import annotations

import pandas as pd

from perennial.datasets.labels import labels_for
from perennial.datasets.log_reader import SegmentReader
from perennial.datasets.source import Fetch, read_source
from perennial.datasets.stream import read_span
from perennial.packaging.labels import LabelRule
from perennial.registry import Declaration
from perennial.store import Store
from perennial.validation.quarantine import ROW, Record, row_ids

_SHOWN = ("_time", "_version")
"""Of what the log says of a row beside its fields."""


def held_rows(store: Store, declaration: Declaration, record: Record, fetch: Fetch) -> pd.DataFrame:
    """Read the rows of a held window, with their labels as far as they are known.

    Args:
        record: of a window.
        fetch: reads the source where it lies in a store.

    Returns:
        ``_row`` is a row's id; served rows have the time of the request and the version beside
        their fields.

    Raises:
        SourceError: rows of the source are among them, and it cannot be read.
    """
    assert record.start is not None
    assert record.end is not None
    spec, start, end = declaration.spec, record.start, record.end
    source = pd.DataFrame()
    if end.source_rows > start.source_rows:
        source = read_source(spec, declaration.path, fetch=fetch)
    reader = SegmentReader(store)
    frame = read_span(reader, spec, source, start, end)
    ids = row_ids(frame, start.source_rows + frame.index.to_numpy(), spec)
    labels = labels_for(reader, spec.name, frame, spec.target, LabelRule(spec.task)).values
    fields = [c for c in frame.columns if c != spec.target and not str(c).startswith("_")]
    told = [c for c in _SHOWN if c in frame.columns]
    return frame[[*told, *fields]].assign(**{spec.target: labels, ROW: ids})
