"""What the monitor writes of a window, and how it is found again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from perennial.datasets.feedback import FeedbackSeen
from perennial.datasets.stream import Cursor
from perennial.drift.decision import Decision
from perennial.drift.record import Check
from perennial.registry import State
from perennial.store import layout
from perennial.validation.triage import TriageVerdict
from tasks.connection import store
from tasks.judge import PendingWindow

_REMEMBERED = 60


class Place(BaseModel):
    """Where the monitor stands; the ``cursor`` of a `Check`."""

    model_config = ConfigDict(frozen=True)

    end: Cursor
    pending: tuple[PendingWindow, ...] = ()


class WindowCheck(Check):
    """A check with what triage said of the data."""

    data: tuple[TriageVerdict, ...] = ()
    """Windows that were found to be held at this look: this one, or older ones by their labels."""
    refused: int = 0
    """Rows of this window that went to quarantine; the inputs are those of the others."""
    feedback: FeedbackSeen | None = None
    """The labels that came since the last look; None: no served row was looked at."""
    source_away: str | None = None
    """Why the source could not be read; then rows of the champion's snapshot stood in for it."""


class CheckRef(BaseModel):
    """A check by its key, and what it came to."""

    key: str
    window: str
    decision: Decision
    held: str | None = None
    """Why data are held, where some are."""


def newest_checks(pipeline: str, *, after: str | None = None) -> Iterator[WindowCheck]:
    """Yield the newest checks, the last one first, some sixty at most.

    Args:
        after: a window; only checks of later ones are given.
    """
    behind = None if after is None else layout.check(pipeline, after)
    for key in reversed(_keys(pipeline, behind)[-_REMEMBERED:]):
        yield _read(key)


def windows_by(pipeline: str, moment: datetime) -> int:
    """Count the windows that had been checked by a moment, however long ago that is."""
    return bisect_right(_keys(pipeline), moment, key=lambda key: _read(key).at)


def _keys(pipeline: str, after: str | None = None) -> list[str]:
    return [info.key for info in store().scan(layout.checks(pipeline), after=after)]


def _read(key: str) -> WindowCheck:
    return WindowCheck.model_validate_json(store().get(key).data)


def unanswered(pipeline: str, state: State) -> Check | None:
    """The newest check that asks for a heal which no retrain has answered."""
    checks = newest_checks(pipeline, after=state.answered)
    return next((check for check in checks if check.decision.action == "heal"), None)


def ordinal(window: str) -> int:
    """How many windows had been checked, this one included."""
    return int(window.removeprefix("w"))
