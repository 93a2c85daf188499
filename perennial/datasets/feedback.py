"""What became of the labels that came: whether they can be used, and name a row that was asked."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd
import pyarrow.compute as pc
from pydantic import AwareDatetime, BaseModel, ConfigDict
from ulid import ULID

from perennial.datasets.labels import read_labels
from perennial.datasets.log_reader import SegmentReader, read_feedback_log
from perennial.packaging.labels import LabelRule
from perennial.store import layout

SLACK = timedelta(minutes=1)
"""A label may be in the store so much earlier than the row that it is about."""


class FeedbackSeen(BaseModel):
    """The labels that came between two looks at the stream, of each id the latest."""

    model_config = ConfigDict(frozen=True)

    until: AwareDatetime
    """Up to this moment; the next look begins here."""
    labels: int = 0
    unmatched: int = 0
    """Of them, such whose id no logged request has. A server cannot know all ids, so it takes them;
    that there are any mostly means that a client sends other ids than it asked with."""
    unmatched_id: str | None = None
    """One of them."""
    unusable: int = 0
    """Of them, such that cannot be used."""
    unusable_why: str | None = None
    """Of one of them: its id, and why."""

    def __str__(self) -> str:
        found = []
        if self.unmatched:
            found.append(
                f"{self.unmatched:,} of {self.labels:,} labels name no logged request, such as "
                f"{self.unmatched_id!r}"
            )
        if self.unusable:
            found.append(
                f"{self.unusable:,} of {self.labels:,} labels cannot be used, such as that of "
                f"{self.unusable_why}"
            )
        return "; ".join(found)


def look_at_feedback(
    reader: SegmentReader,
    pipeline: str,
    rule: LabelRule,
    *,
    after: datetime | None,
    until: datetime,
    since: str | None,
) -> FeedbackSeen:
    """Sum up the labels that came in a span of time.

    Args:
        after, until: the span, without and with that moment; after None: from the beginning on.
        since: the segment of the prediction log in which the search for their rows ends; None: it
            goes through all of it.
    """
    prefix = layout.feedback_log(pipeline)
    begin = None if after is None else f"{prefix}{ULID.from_datetime(after - SLACK)}"
    labels = read_feedback_log(reader, pipeline, since=begin)
    labels = labels[labels["time"] <= until]
    if after is not None:
        labels = labels[labels["time"] > after]
    unknown = _without_row(reader, pipeline, labels, since)
    _, faults = read_labels(labels["label"], rule)
    bad = [(name, f) for name, f in zip(labels.index, faults, strict=True) if f is not None]
    return FeedbackSeen(
        until=until,
        labels=len(labels),
        unmatched=len(unknown),
        unmatched_id=unknown[0] if unknown else None,
        unusable=len(bad),
        unusable_why=f"{bad[0][0]!r}: {bad[0][1].why}" if bad else None,
    )


def _without_row(
    reader: SegmentReader, pipeline: str, labels: pd.DataFrame, since: str | None
) -> list[str]:
    """The ids that no row of the prediction log has. The newest rows are asked first: most labels
    are about them."""
    left = dict.fromkeys(labels.index)
    for segment in reversed(reader.segments(layout.prediction_log(pipeline), since=since)):
        if not left:
            break
        for name in pc.unique(reader.read(segment).column("id")).to_pylist():
            left.pop(name, None)
    return list(left)
