"""What the loop sees of the world, beside the store that keeps its record."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

import pandas as pd

from perennial.datasets.feedback import FeedbackSeen
from perennial.datasets.labels import Told
from perennial.datasets.log_reader import Arrived
from perennial.datasets.stream import Cursor, Window
from perennial.packaging.labels import LabelRule


class Stream(Protocol):
    """Rows in order, and the labels that are known by the moment of a look."""

    @property
    def source(self) -> pd.DataFrame:
        """The rows that lie before what is served, in time order, with the target where it is
        known."""
        ...

    @property
    def away(self) -> str | None:
        """Why the source cannot be read; then ``source`` is what stands in for it."""
        ...

    @property
    def requests(self) -> Arrived:
        """Segments of what was asked that are known."""
        ...

    @property
    def labels(self) -> Arrived:
        """The same of what was true."""
        ...

    def windows(self, place: Cursor) -> Iterator[Window]:
        """Yield the full windows behind a place, the oldest first. What is left over waits."""
        ...

    def read(self, start: Cursor, end: Cursor) -> pd.DataFrame:
        """Read the rows between two places again, as `windows` gave them."""
        ...

    def holds(self, start: Cursor, end: Cursor) -> bool:
        """Tell whether the rows between two places can be read now."""
        ...

    def told(self, frame: pd.DataFrame, rule: LabelRule) -> Told:
        """What is known of the truth of rows that this stream gave."""
        ...

    def feedback(
        self, rule: LabelRule, *, after: datetime | None, until: datetime, since: str | None
    ) -> FeedbackSeen | None:
        """Sum up the labels that came in a span of time; None: this stream does not tell.

        Args: as `perennial.datasets.feedback.look_at_feedback`.
        """
        ...
