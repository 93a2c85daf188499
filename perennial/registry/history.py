"""``history/``: append-only; what changed, when, why, by whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from ulid import ULID

from perennial.errors import Conflict
from perennial.store import Store, layout
from perennial.store.lease import utc_now

Event = Literal[
    "version.registered",
    "version.refused",
    "rollout.promoted",
    "rollout.rolled_back",
    "model.refused",
]


class HistoryEntry(BaseModel):
    """One change of a pipeline."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    id: str
    at: AwareDatetime
    event: Event
    version: str | None = None
    reason: str
    by: str
    """The run, server or person that did it."""
    cause: str | None = None
    """Key of the check that led to it."""
    details: dict[str, Any] = Field(default_factory=dict)


def new_entry(
    event: Event,
    *,
    reason: str,
    by: str,
    version: str | None = None,
    cause: str | None = None,
    details: dict[str, Any] | None = None,
) -> HistoryEntry:
    """Describe a change that is about to happen; its id sorts by time."""
    return HistoryEntry(
        id=str(ULID()),
        at=utc_now(),
        event=event,
        version=version,
        reason=reason,
        by=by,
        cause=cause,
        details=details or {},
    )


def append_history(store: Store, pipeline: str, entry: HistoryEntry) -> None:
    """Write an entry once; one that is there already is left as it is."""
    try:
        store.put_json(layout.history_entry(pipeline, entry.id), entry, if_absent=True)
    except Conflict:
        return


def read_history(store: Store, pipeline: str) -> Iterator[HistoryEntry]:
    """Yield all entries, the oldest first."""
    for info in store.scan(layout.history(pipeline)):
        yield HistoryEntry.model_validate_json(store.get(info.key).data)
