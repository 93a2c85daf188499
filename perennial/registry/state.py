"""``state.json``: the one place that names the champion."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from perennial.errors import Conflict, LeaseLost, NotFound
from perennial.registry.history import HistoryEntry, Stage, Standing, append_history, behind
from perennial.store import Store, layout, read_record
from perennial.store.lease import utc_now

_ATTEMPTS = 20


class State(BaseModel):
    """Who answers now, and who wants to."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    pipeline: str
    champion: str | None = None
    challenger: str | None = None
    stage: Stage = "idle"
    weight: float = Field(default=0.0, ge=0, le=1)
    """Share of the requests that the challenger answers."""
    previous: str | None = None
    """The champion before this one: where a rollback goes."""
    began: AwareDatetime | None = None
    """When the rollout of the challenger, or of the champion that bakes, began."""
    since: AwareDatetime | None = None
    """When its present stage and weight began."""
    waiting: str | None = None
    """A version that was registered since and is tried when this rollout is over."""
    approved: str | None = None
    """A challenger that a person has let through to promotion."""
    condemned: tuple[str, ...] = ()
    """Versions that the last sweep removes, or has removed: none may be named here any more."""
    fence: int = 0
    """The highest lease token under which this state was changed."""
    answered: str | None = None
    """The last window whose confirmed shift a retrain has answered, whatever came of it."""
    revision: int = 0
    """Grows by one with every change."""
    updated_at: AwareDatetime
    last_change: HistoryEntry | None = None
    """The history entry of the change that led here: written with the state in one swap, and into
    ``history/`` right after, by this writer or, where it died in between, by the next one."""


class StoredState(BaseModel):
    """A state and the ETag by which it can be replaced; no ETag: not written yet."""

    model_config = ConfigDict(frozen=True)

    state: State
    etag: str | None


def read_state(store: Store, pipeline: str) -> StoredState:
    """Read the state; a pipeline without one stands at the beginning.

    Raises:
        Damaged: it cannot be read.
    """
    try:
        found = store.get(layout.state(pipeline))
    except NotFound:
        return StoredState(state=State(pipeline=pipeline, updated_at=utc_now()), etag=None)
    return StoredState(state=read_record(State, found), etag=found.etag)


def change_state(
    store: Store,
    pipeline: str,
    change: Callable[[State], State],
    entry: HistoryEntry,
    *,
    fence: int | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> State:
    """Apply ``change`` by compare-and-swap, reading again where somebody else was first.

    A swap may arrive and its answer be lost, and the next writer swap before it is asked again:
    whoever reads this swap's entry in the history knows that the change is done.

    Args:
        change: gives the new state from the current one; called again after a lost swap. A state
            returned unchanged is not written.
        entry: what the history will say of it.
        fence: the caller's lease token; refused where the state was changed under a later one.
            None: a change that needs no lease (a rollback by hand).

    Raises:
        LeaseLost: the state carries a newer fence than the caller's.
        Conflict: lost too often in a row.
    """
    key = layout.state(pipeline)
    tried: State | None = None
    for _ in range(_ATTEMPTS):
        stored = read_state(store, pipeline)
        current = stored.state
        if tried is not None and _has_come(store, current, tried):
            return tried
        if fence is not None and fence < current.fence:
            raise LeaseLost(
                f"the state of {pipeline} was changed under lease {current.fence}, "
                f"lease {fence} is too old to change it"
            )
        if current.last_change is not None:
            append_history(store, pipeline, current.last_change)
        wanted = change(current)
        if wanted == current:
            return current
        standing = Standing.model_validate(wanted, from_attributes=True)
        number = current.revision + 1
        placed = behind(entry, current.last_change)
        written = placed.model_copy(update={"after": standing, "revision": number})
        new = wanted.model_copy(
            update={
                "revision": number,
                "fence": max(current.fence, fence or 0),
                "updated_at": clock(),
                "last_change": written,
            }
        )
        try:
            store.put_json(key, new, if_absent=stored.etag is None, if_match=stored.etag)
        except Conflict:
            tried = new
            continue
        append_history(store, pipeline, written)
        return new
    raise Conflict(key)


def _has_come(store: Store, current: State, tried: State) -> bool:
    """Tell whether a swap whose answer was a conflict has taken place all the same: its entry is
    the last change, or the next writer has put it into the history before its own swap."""
    entry = tried.last_change
    assert entry is not None
    if current.last_change is not None and current.last_change.id == entry.id:
        append_history(store, current.pipeline, entry)
        return True
    return store.find(layout.history_entry(current.pipeline, entry.id)) is not None


def is_outcome(state: State, entry: HistoryEntry) -> bool:
    """Tell whether a state is what the change of this entry made, and nobody else's."""
    last = state.last_change
    if last is None:
        return False
    return entry == last.model_copy(update={"id": entry.id, "after": None, "revision": None})
