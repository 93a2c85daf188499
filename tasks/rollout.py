"""One step of a rollout: look until something is decided, then change the state and say so."""

from __future__ import annotations

import time
from datetime import timedelta

from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.errors import LeaseLost, SpecError, StoreError
from perennial.loop.takeover import Step, takes_over_at_once
from perennial.loop.versions import load_version
from perennial.registry import Declaration, State, read_manifest, read_signature, read_state
from perennial.registry.manifest import PAGE_FILE
from perennial.rollout.decision import Move
from perennial.rollout.evidence import Evidence
from perennial.rollout.observer import Observer
from perennial.rollout.stages import in_flight, is_same_step, who_answers
from perennial.spec import Rollout
from perennial.store import layout
from perennial.store.lease import utc_now
from tasks import events
from tasks.approval import is_to_be_asked
from tasks.connection import store
from tasks.notify import notify
from tasks.rollout_artifact import publish_rollout
from tasks.step import may_pass, step

_BETWEEN_LOOKS = 1.0

_TITLES: dict[Move, str] = {
    "stay": "Watching",
    "await_approval": "Waiting for approval",
    "advance": "Advanced",
    "promote": "Promoted",
    "finish": "Finished",
    "roll_back": "Rolled back",
}


class RolloutStep(BaseModel):
    """What became of a rollout."""

    title: str
    reason: str
    over: bool
    """Nothing is left to do in this run."""
    in_flight: bool
    """A rollout is under way: somebody has to look again."""


@step(retries=20, retry_delay_seconds=3, retry_condition_fn=may_pass)
def next_step(declaration: Declaration, run: str, seconds: float) -> RolloutStep:
    """Watch a pipeline's rollout until it takes a step, somebody else changes it, or time is over.

    Holds nothing: what it goes by stands in the state and the log, so that it may be killed at any
    point and repeated.

    Args:
        run: name of the run, for the history.
        seconds: for how long at most.
    """
    until = time.monotonic() + seconds
    seen = read_state(store(), declaration.spec.name).state
    if seen.stage == "registered":
        return _begin(declaration, seen, run, until)
    if not in_flight(seen):
        reason = f"no challenger waits; {seen.champion} answers"
        return RolloutStep(title="Nothing to do", reason=reason, over=True, in_flight=False)
    return _watch(declaration, seen, run, until)


@step(retries=3, retry_delay_seconds=2, retry_condition_fn=may_pass)
def begin_rollout(declaration: Declaration, run: str) -> str | None:
    """Take the first step of a newly registered version, which waits for nothing: to its first
    stage, or to champion where none is declared. Where there is something to watch, ask for the run
    that does.

    Args:
        run: name of the run, for the history.

    Returns:
        What came of it; None where no version waits.
    """
    name = declaration.spec.name
    seen = read_state(store(), name).state
    if seen.stage != "registered":
        return None
    taken = _begin(declaration, seen, run, time.monotonic())
    if taken.in_flight:
        _wake(name)
    return taken.reason


@step(retries=3, retry_delay_seconds=2)
def wake_rollout(pipeline: str) -> None:
    """Ask for the run that goes on with a rollout; where this is lost, the monitor asks again."""
    _wake(pipeline)


def _wake(pipeline: str) -> None:
    version = read_state(store(), pipeline).state.challenger
    events.emit(events.ROLLOUT_CONTINUES, pipeline, {"version": version})


def _begin(declaration: Declaration, seen: State, run: str, until: float) -> RolloutStep:
    """Take a registered version to its first stage; without any, make it champion."""
    rollout = declaration.spec.rollout
    first = seen.champion is None
    _refuse_unknown_slices(seen, rollout)
    if (
        takes_over_at_once(rollout)
        and not first
        and rollout.approval == "manual"
        and not _is_approved(seen)
    ):
        waited = _await_approval(seen, until)
        if waited is not None:
            return waited
    return _take(declaration, seen, Step.first(), run)


def _await_approval(seen: State, until: float) -> RolloutStep | None:
    """Wait at the gate until a person has said yes; else tell why this run does not go on."""
    words = _ask(seen, "it passed its gate")
    while True:
        now = read_state(store(), seen.pipeline).state
        if not is_same_step(now, seen):
            return _changed(now)
        if _is_approved(now):
            return None
        if time.monotonic() >= until:
            return RolloutStep(
                title=_TITLES["await_approval"], reason=words, over=True, in_flight=True
            )
        time.sleep(_BETWEEN_LOOKS)


def _refuse_unknown_slices(seen: State, rollout: Rollout) -> None:
    """Find a slice that can never be followed before the first request is at stake.

    Raises:
        SpecError: a column is no field of a request.
    """
    if not rollout.slices or seen.challenger is None:
        return
    signature = read_signature(store(), read_manifest(store(), seen.pipeline, seen.challenger))
    known = [*(feature.name for feature in signature.features), *signature.context]
    for column in rollout.slices:
        if column not in known:
            raise SpecError(
                f"rollout.slices: {column!r} is no field of a request to {seen.pipeline}; "
                f"known: {', '.join(known)}"
            )


def _watch(declaration: Declaration, seen: State, run: str, until: float) -> RolloutStep:
    spec = declaration.spec
    observer = Observer(
        store(),
        spec,
        seen,
        load=lambda version: load_version(store(), read_manifest(store(), spec.name, version)),
    )
    asked = False
    while True:
        try:
            evidence = observer.look(utc_now())
            now = read_state(store(), spec.name).state
        except StoreError as error:
            if time.monotonic() >= until:
                raise
            get_run_logger().warning("looking again, the store is away: %s", error)
            time.sleep(_BETWEEN_LOOKS)
            continue
        if not is_same_step(now, seen):
            return _changed(now)
        found = Step.of(evidence, spec.rollout, now)
        if not found.waits:
            return _take(declaration, now, found, run)
        if found.move == "await_approval" and not asked:
            _ask(now, found.decision.reason)
            asked = True
        if time.monotonic() >= until:
            publish_rollout(declaration, seen, now, evidence, found.decision, _TITLES[found.move])
            return RolloutStep(
                title=_TITLES[found.move],
                reason=f"{_where(now)}: {found.decision.reason}",
                over=True,
                in_flight=True,
            )
        time.sleep(_BETWEEN_LOOKS)


def _take(declaration: Declaration, seen: State, found: Step, run: str) -> RolloutStep:
    """Change the state first: what tells of it comes after, and is lost with the run at worst."""
    evidence, move, reason = found.evidence, found.move, found.reason
    try:
        after = found.take(
            store(),
            seen,
            declaration.spec.rollout,
            by=run,
            details={"looked_at": _looked_at(seen, evidence)},
        )
    except LeaseLost as error:
        get_run_logger().info("%s: looking again", error)
        after = None
    if after is None:
        return _changed(read_state(store(), seen.pipeline).state)
    promoted = after.champion != seen.champion and move != "roll_back"
    title = "Promoted" if promoted else _TITLES[move]
    _tell(seen, after, title, reason)
    publish_rollout(declaration, seen, after, evidence, found.decision, title)
    words = reason
    if promoted:
        words = who_answers(after)
    elif move == "advance":
        words = f"now {_where(after)}: {reason}"
    return RolloutStep(title=title, reason=words, over=False, in_flight=in_flight(after))


def _looked_at(seen: State, evidence: Evidence) -> str | None:
    """When the look was taken that a step goes by."""
    if seen.since is None:
        return None
    return (seen.since + timedelta(seconds=evidence.seconds)).isoformat()


def _tell(seen: State, after: State, title: str, reason: str) -> None:
    name = seen.pipeline
    version = seen.champion if seen.stage == "bake" else seen.challenger
    get_run_logger().info("%s of %s: %s, now %s: %s", version, name, title, _where(after), reason)
    payload = {"version": version, "champion": after.champion, "reason": reason}
    if title == "Promoted":
        events.emit(events.PROMOTED, name, {**payload, "previous": after.previous})
        notify(name, f"{version} was promoted", reason, page=_page(name, version))
    if title == "Rolled back":
        events.emit(events.ROLLED_BACK, name, {**payload, "stage": seen.stage})
        told = f"{reason}. {after.champion} answers all requests."
        notify(name, f"{version} was rolled back", told, page=_page(name, version))


def _page(pipeline: str, version: str | None) -> str | None:
    return None if version is None else layout.version_file(pipeline, version, PAGE_FILE)


def _ask(seen: State, reason: str) -> str:
    """Say once that a person has to decide, and give the words for it."""
    name, version = seen.pipeline, str(seen.challenger)
    words = f"{version} waits for 'perennial approve {name}': {reason}"
    if is_to_be_asked(name, version):
        events.emit(events.AWAITING_APPROVAL, name, {"version": version, "reason": reason})
        notify(name, f"{version} waits for approval", words, page=_page(name, version))
    return words


def _changed(now: State) -> RolloutStep:
    reason = f"somebody else changed the rollout, now {_where(now)}"
    return RolloutStep(title="Changed", reason=reason, over=False, in_flight=in_flight(now))


def _is_approved(state: State) -> bool:
    return state.approved is not None and state.approved == state.challenger


def _where(state: State) -> str:
    share = f" at {state.weight:.0%}" if state.stage == "canary" else ""
    return f"{state.stage}{share}"
