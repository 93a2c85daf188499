"""Every labelled row that a training may use, before the rules have looked at it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from perennial.datasets.labels import labelled_rows, with_truth
from perennial.datasets.log_reader import SegmentReader
from perennial.datasets.source import SourceRows
from perennial.datasets.stream import read_span
from perennial.errors import SourceError
from perennial.spec import PipelineSpec
from perennial.store import Store
from perennial.validation.quarantine import Record, row_ids

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Gathered:
    """What a training may use, and what it may not."""

    frame: pd.DataFrame
    """The index names the rows: one of the source by its place in it, a served one by its id."""
    unusable: pd.DataFrame
    """As of `perennial.datasets.labels.Labelled`, and rows of the source that it sets aside."""
    source_rows: int
    spec: PipelineSpec
    """The declaration, as the source completes it."""


def gather(store: Store, read: SourceRows, held: Sequence[Record]) -> Gathered:
    """Every row whose truth is known, in time order, but those of windows that are held.

    Args:
        read: the source.
        held: windows whose rows are left out.

    Raises:
        SourceError: no row has a label.
    """
    spec, source = read.spec, read.frame
    labelled = labelled_rows(store, spec, source)
    frame = with_truth(labelled.frame, spec)
    for record in held:
        frame = frame.drop(_rows_within(store, spec, source, record), errors="ignore")
        _log.info("without the rows of %s (%s)", record.name, record.reasons[0])
    if frame.empty:
        raise SourceError(
            f"target: no row of {spec.name} has a value of {spec.target!r} yet"
            + (" outside of windows that are held" if held else "")
        )
    unusable = _together(labelled.unusable, _aside(read))
    return Gathered(frame, unusable, len(source), spec)


def _aside(read: SourceRows) -> pd.DataFrame:
    """The rows of the source that cannot be used, by their names in quarantine."""
    for column, cells in read.unreadable.items():
        _log.warning("%s: %d cells are no number: taken as missing", column, cells)
    names = row_ids(read.aside, read.aside.index.to_numpy(), read.spec)
    return read.aside.set_axis(pd.Index(names, dtype=object))


def _together(served: pd.DataFrame, aside: pd.DataFrame) -> pd.DataFrame:
    parts = [rows.astype(object) for rows in (served, aside) if len(rows)]
    return pd.concat(parts) if parts else served


def _rows_within(
    store: Store, spec: PipelineSpec, source: pd.DataFrame, record: Record
) -> list[object]:
    start, end = record.start, record.end
    assert start is not None
    assert end is not None
    rows: list[object] = list(range(start.source_rows, end.source_rows))
    if (start.segment, start.offset) != (end.segment, end.offset):
        span = read_span(SegmentReader(store), spec, source.iloc[:0], start, end)
        rows += list(span["_id"]) if "_id" in span.columns else []
    return rows
