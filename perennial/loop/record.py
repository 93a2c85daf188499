"""What the monitor writes of a window, and how it is found again."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.datasets.feedback import FeedbackSeen
from perennial.datasets.log_reader import Arrived
from perennial.drift.decision import Decision
from perennial.drift.record import Check
from perennial.errors import Damaged
from perennial.store import Store, layout, read_record
from perennial.validation.triage import Memory, TriageVerdict

_REMEMBERED = 60


class Decided(Protocol):
    """Whatever carries a decision, such as a check or a reference to one."""

    @property
    def decision(self) -> Decision:
        """What was decided."""
        ...


C = TypeVar("C", bound=Decided)


class Facts(BaseModel):
    """What was known at a look at the stream: what its decisions can be made again from."""

    model_config = ConfigDict(frozen=True)

    window: str
    """The first window that it judged."""
    at: AwareDatetime
    """When it began."""
    declaration: str
    """Name of the declaration in force, among the pipeline's facts."""
    suite: str | None
    """The same of the expectations; None: there were none."""
    source_rows: int
    requests: Arrived
    """Segments of the prediction log that were in the store."""
    labels: Arrived
    """The same of the feedback log."""


class WindowCheck(Check):
    """A check with what triage said of the data."""

    facts: Facts
    known: str | None
    """The newest entry of the history that the decision goes by; None: there was none."""
    data: tuple[TriageVerdict, ...] = ()
    """Windows that were found to be held at this look: this one, or older ones by their labels."""
    refused: int = 0
    """Rows of this window that went to quarantine; the inputs are those of the others."""
    memory: Memory = Memory()
    """What triage has measured of the windows so far."""
    feedback: FeedbackSeen | None = None
    """The labels that came since the last look; None: no served row was looked at."""
    suite_fault: str | None = None
    """Why a person's expectations.json did not count, where it could not be used: the rules before
    it were in force."""
    source_away: str | None = None
    """Why the source could not be read; then rows of the champion's snapshot stood in for it."""


def keep_fact(store: Store, pipeline: str, content: dict[str, Any]) -> str:
    """Keep what decisions go by, once, and give its name: the sha256 of its content."""
    data = json.dumps(content, sort_keys=True, indent=2).encode()
    name = hashlib.sha256(data).hexdigest()
    key = layout.fact(pipeline, name)
    if store.find(key) is None:
        store.put(key, data, content_type="application/json")
    return name


def read_fact(store: Store, pipeline: str, name: str) -> dict[str, Any]:
    """Read what `keep_fact` kept.

    Raises:
        NotFound: it is not there.
        Damaged: it is not what its name says.
    """
    key = layout.fact(pipeline, name)
    data = store.get(key).data
    if hashlib.sha256(data).hexdigest() != name:
        raise Damaged(key, "it is not what its name says")
    content: dict[str, Any] = json.loads(data)
    return content


def newest_checks(
    store: Store, pipeline: str, *, after: str | None = None
) -> Iterator[WindowCheck]:
    """Yield the newest checks, the last one first, some sixty at most.

    Args:
        after: a window; only checks of later ones are given.
    """
    behind = None if after is None else layout.check(pipeline, after)
    for key in reversed(_keys(store, pipeline, behind)[-_REMEMBERED:]):
        yield _read(store, key)


def all_checks(store: Store, pipeline: str) -> Iterator[WindowCheck]:
    """Yield all checks, the first one first."""
    for key in _keys(store, pipeline):
        yield _read(store, key)


def oldest_remembered(store: Store, pipeline: str) -> WindowCheck | None:
    """Read the oldest of those that `newest_checks` yields."""
    keys = _keys(store, pipeline)[-_REMEMBERED:]
    return _read(store, keys[0]) if keys else None


def count_checks(store: Store, pipeline: str) -> int:
    """Count the windows that have been checked."""
    return len(_keys(store, pipeline))


def windows_by(store: Store, pipeline: str, moment: datetime) -> int:
    """Count the windows that had been checked by a moment, however long ago that is."""
    return bisect_right(_keys(store, pipeline), moment, key=lambda key: _read(store, key).at)


def unanswered(store: Store, pipeline: str, answered: str | None) -> Check | None:
    """The newest check that asks for a heal which no retrain has answered.

    Args:
        answered: the last window that one has answered.
    """
    checks = newest_checks(store, pipeline, after=answered)
    return next((check for check in checks if check.decision.action == "heal"), None)


def asks_for_heal(
    store: Store, pipeline: str, look: Sequence[C], answered: str | None
) -> C | Check | None:
    """Find the check that asks for a heal: the first of this look that does, or else an older
    one that nobody has answered, as its event may be lost.

    Args:
        look: checks of this look, of which nobody can have heard yet.
        answered: the last window that a retrain has answered.
    """
    fresh = next((check for check in look if check.decision.action == "heal"), None)
    return unanswered(store, pipeline, answered) if fresh is None else fresh


def _keys(store: Store, pipeline: str, after: str | None = None) -> list[str]:
    return [info.key for info in store.scan(layout.checks(pipeline), after=after)]


def _read(store: Store, key: str) -> WindowCheck:
    return read_record(WindowCheck, store.get(key))
