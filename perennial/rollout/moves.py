"""Take a step of a rollout in the store: the state and its history change together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from perennial.errors import NotFound, SpecError
from perennial.registry import (
    HistoryEntry,
    State,
    change_state,
    full_name,
    is_outcome,
    new_entry,
    read_manifest,
    read_state,
    version_names,
)
from perennial.registry.history import Event
from perennial.rollout import stages
from perennial.rollout.decision import Move
from perennial.spec import Goal, Rollout
from perennial.store import Store, layout
from perennial.store.lease import utc_now


def take_step(
    store: Store,
    seen: State,
    move: Move,
    rollout: Rollout,
    *,
    reason: str,
    by: str,
    details: dict[str, Any],
    clock: Callable[[], datetime] = utc_now,
) -> State | None:
    """Change the state as a move says, if it still is the state that was ``seen``.

    A rollback answers all windows checked so far: what they saw brought the version that has just
    failed, so the policy waits for newer ones, longer with every failure in a row.

    Returns:
        The new state; None where somebody else changed it first.

    Raises:
        LeaseLost: a retrain changed the pipeline since; look again.
    """
    now = clock()
    windows = _newest_window(store, seen.pipeline) if move == "roll_back" else None

    def change(state: State) -> State:
        match move:
            case "advance":
                return stages.advance(state, seen, rollout, now)
            case "promote":
                return stages.promote(state, seen, rollout, now)
            case "finish":
                return stages.finish(state, seen)
            case "roll_back":
                back = stages.roll_back(state, seen)
                return state if back == state else _answered(back, windows)
            case _:
                return state

    if not stages.is_same_step(read_state(store, seen.pipeline).state, seen):
        return None
    entry = _entry(store, seen, change(seen), move, reason=reason, by=by, details=details, at=now)
    after = change_state(store, seen.pipeline, change, entry, fence=seen.fence, clock=clock)
    return after if is_outcome(after, entry) else None


def _entry(
    store: Store,
    seen: State,
    after: State,
    move: Move,
    *,
    reason: str,
    by: str,
    details: dict[str, Any],
    at: datetime,
) -> HistoryEntry:
    version = seen.champion if seen.stage == "bake" else seen.challenger
    manifest = read_manifest(store, seen.pipeline, version) if version is not None else None
    cause = manifest.lineage.cause if manifest is not None else None
    promoted = move in ("advance", "promote") and after.champion == version
    if promoted:
        details = {**details, "previous": after.previous, "bake": after.stage == "bake"}
    match move:
        case "roll_back":
            event: Event = "rollout.rolled_back"
        case "finish":
            event = "rollout.finished"
        case _ if promoted:
            event = "rollout.promoted"
        case _:
            event = "rollout.advanced"
    return new_entry(
        event,
        version=version,
        reason=reason,
        by=by,
        cause=cause,
        details={"stage": seen.stage, "weight": seen.weight, **details},
        at=at,
    )


def put_back(
    store: Store, pipeline: str, *, to: str | None, why: str, by: str
) -> tuple[State, str | None]:
    """Make an earlier version champion at once, by hand; a rollout under way ends.

    Args:
        to: the version; None gives up a challenger on its way, or else takes the champion before
            the present one.

    Returns:
        The new state, and the version that it was taken from.

    Raises:
        SpecError: there is no such version, or none to go back to.
        ModelError: it was altered or damaged.
    """
    seen = read_state(store, pipeline).state
    target = _target(store, seen, to)
    given_up = seen.challenger if target == seen.champion else seen.champion
    windows = _newest_window(store, pipeline)
    entry = new_entry(
        "rollout.rolled_back",
        version=given_up,
        reason=why,
        by=by,
        details={"to": target, "by_hand": True, "stage": seen.stage, "weight": seen.weight},
    )

    def change(state: State) -> State:
        # Looked at between reading the state and its swap: a sweep condemns a version by a swap of
        # its own before it removes it.
        if target in state.condemned:
            raise SpecError(f"version {target} of {pipeline} is being removed: its time is over")
        try:
            read_manifest(store, pipeline, target)
        except NotFound:
            fault = f"version {target} of {pipeline} was removed by a sweep just now"
            raise SpecError(fault) from None
        return _answered(stages.put_back(state, target), windows)

    return change_state(store, pipeline, change, entry), given_up


def send_on(store: Store, pipeline: str, to: Goal, rollout: Rollout, *, by: str, why: str) -> State:
    """Take the challenger to a later stage at once, by hand, past all that it would have shown.

    Raises:
        SpecError: there is no challenger, or no such stage ahead of it.
    """
    seen = read_state(store, pipeline).state
    if seen.challenger is None:
        raise SpecError(f"{pipeline} has no challenger to take on: see 'perennial versions'")
    place, now = stages.place_of(to, seen, rollout), utc_now()

    def change(state: State) -> State:
        return stages.go_to(state, seen, place, rollout, now)

    details = {"by_hand": True}
    entry = _entry(store, seen, change(seen), "advance", reason=why, by=by, details=details, at=now)
    after = change_state(store, pipeline, change, entry)
    if not is_outcome(after, entry):
        raise _not_the_challenger(after, seen.challenger)
    return after


def give_up(store: Store, pipeline: str, version: str, *, by: str, why: str) -> State:
    """Take a challenger out of its rollout, by hand; the champion stays.

    Raises:
        SpecError: it is not the challenger.
    """
    seen = read_state(store, pipeline).state
    windows = _newest_window(store, pipeline)
    entry = new_entry(
        "rollout.rolled_back",
        version=version,
        reason=why,
        by=by,
        details={"by_hand": True, "stage": seen.stage, "weight": seen.weight},
    )

    def change(state: State) -> State:
        if state.challenger != version:
            return state
        return _answered(stages.roll_back(state, state), windows)

    after = change_state(store, pipeline, change, entry)
    if not is_outcome(after, entry):
        raise _not_the_challenger(after, version)
    return after


def approve(store: Store, pipeline: str, *, by: str, why: str, version: str | None = None) -> str:
    """Let the challenger that is on its way through to promotion; return its version.

    Args:
        version: that the answer is about; None: whichever is the challenger.

    Raises:
        SpecError: there is no challenger, or it is another version.
    """
    seen = read_state(store, pipeline).state
    if seen.challenger is None and version is None:
        raise SpecError(f"{pipeline} has no challenger to approve of: see 'perennial versions'")
    wanted = version or str(seen.challenger)
    entry = new_entry("rollout.approved", version=wanted, reason=why, by=by)

    def change(state: State) -> State:
        if state.challenger != wanted:
            return state
        return state.model_copy(update={"approved": wanted})

    after = change_state(store, pipeline, change, entry)
    if after.approved != wanted:
        raise _not_the_challenger(after, wanted)
    return wanted


def _not_the_challenger(state: State, version: str) -> SpecError:
    now = state.challenger or "nobody"
    return SpecError(
        f"{version} is not the challenger of {state.pipeline} any more, {now} is; "
        f"see 'perennial history {state.pipeline}'"
    )


def _target(store: Store, seen: State, to: str | None) -> str:
    versions = version_names(store, seen.pipeline)
    if to is not None:
        return full_name(seen.pipeline, to, versions)
    target = seen.champion if seen.challenger is not None else seen.previous
    if target is None:
        raise SpecError(
            f"{seen.pipeline} has no earlier champion on record to go back to: name a version with "
            f"--to; its versions: {', '.join(versions) or 'none'}"
        )
    return target


def _answered(state: State, window: str | None) -> State:
    answered = max(filter(None, (state.answered, window)), default=None)
    return state.model_copy(update={"answered": answered})


def _newest_window(store: Store, pipeline: str) -> str | None:
    keys = [info.key for info in store.scan(layout.checks(pipeline))]
    return layout.checked_window(keys[-1]) if keys else None
