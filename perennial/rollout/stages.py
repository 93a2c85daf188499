"""The stages of a rollout as functions from state to state.

registered > shadow > canary at growing weights > promoted > bake > idle; a stage that is not
declared is left out. Each function gives the state back unchanged where it is not the state that
the caller decided about, so that of two rollouts only one takes a step, and none takes it twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from perennial.errors import SpecError
from perennial.registry.history import Stage
from perennial.registry.state import State
from perennial.spec import Goal, Rollout

_ORDER: tuple[Stage, ...] = ("registered", "shadow", "canary")


@dataclass(frozen=True)
class Place:
    """A stage before promotion, and the challenger's share of the requests in it."""

    stage: Stage
    weight: float = 0.0


def places(rollout: Rollout) -> Iterator[Place]:
    """Yield what a challenger goes through before its promotion."""
    if rollout.shadow is not None:
        yield Place("shadow")
    if rollout.canary is not None:
        yield from (Place("canary", weight) for weight in rollout.canary.weights)


def next_place(stage: Stage, weight: float, rollout: Rollout) -> Place | None:
    """What comes after a stage and weight; None: promotion.

    A declaration that was changed on the way counts from the next step on.
    """
    now = _ORDER.index(stage), weight
    later = (place for place in places(rollout) if (_ORDER.index(place.stage), place.weight) > now)
    return next(later, None)


def in_flight(state: State) -> bool:
    """Whether a challenger is on its way, or a champion bakes."""
    return state.stage in ("shadow", "canary", "bake")


def on_its_way(state: State) -> bool:
    """Whether a challenger is in a stage before promotion; one that is only registered is not."""
    return state.stage in ("shadow", "canary")


def who_answers(state: State) -> str:
    """The champion, and the one before it where there was one."""
    before = f", {state.previous} before it" if state.previous is not None else ""
    return f"{state.champion} answers{before}"


def is_same_step(state: State, seen: State) -> bool:
    """Whether a state is still at the step of the rollout at which it was ``seen``."""
    return _step(state) == _step(seen)


def _step(state: State) -> tuple[object, ...]:
    return state.champion, state.challenger, state.stage, state.weight, state.since


def challenge(state: State, version: str, rollout: Rollout) -> State:
    """Name a newly registered version challenger, or let it wait for a rollout under way."""
    if in_flight(state) and rollout.newer == "wait":
        return state.model_copy(update={"waiting": version})
    return state.model_copy(update={**_nobody(), "challenger": version, "stage": "registered"})


def advance(state: State, seen: State, rollout: Rollout, now: datetime) -> State:
    """Take the challenger to its next stage or weight, or make it champion.

    A pipeline's first version has nobody to be held against: it is promoted at once.
    """
    if not is_same_step(state, seen) or state.challenger is None:
        return state
    return go_to(state, seen, next_place(state.stage, state.weight, rollout), rollout, now)


def place_of(goal: Goal, seen: State, rollout: Rollout) -> Place | None:
    """Where a challenger stands that is taken to a stage by hand; None: promoted.

    Raises:
        SpecError: the stage is not declared, or does not lie ahead.
    """
    if goal == "promotion":
        return None
    ahead = [p for p in places(rollout) if _ORDER.index(p.stage) > _ORDER.index(seen.stage)]
    for place in ahead:
        if place.stage == goal:
            return place
    choices = ", ".join([*dict.fromkeys(place.stage for place in ahead), "promotion"])
    raise SpecError(
        f"{seen.challenger} of {seen.pipeline} is in stage {seen.stage}, and its rollout has no "
        f"{goal} ahead; it may be taken to: {choices}"
    )


def go_to(state: State, seen: State, place: Place | None, rollout: Rollout, now: datetime) -> State:
    """By hand: take the challenger to a place at once, past all that lies between."""
    if place is None or state.champion is None:
        return promote(state, seen, rollout, now)
    if not is_same_step(state, seen) or state.challenger is None:
        return state
    return _enter(state, place, now)


def promote(state: State, seen: State, rollout: Rollout, now: datetime) -> State:
    """Make the challenger champion; the old champion becomes ``previous`` and, in the bake, stays
    warm."""
    if not is_same_step(state, seen) or state.challenger is None:
        return state
    update: dict[str, Any] = {
        **_nobody(),
        "champion": state.challenger,
        "previous": state.champion,
    }
    if rollout.bake is not None and state.champion is not None:
        began = now if state.stage == "registered" else state.began
        return state.model_copy(update={**update, "stage": "bake", "began": began, "since": now})
    return _call_waiting(state.model_copy(update=update))


def finish(state: State, seen: State) -> State:
    """End the bake: the champion has proved itself, and who waits is next."""
    if not is_same_step(state, seen) or state.stage != "bake":
        return state
    return _call_waiting(state.model_copy(update=_nobody()))


def roll_back(state: State, seen: State) -> State:
    """Give the challenger up; in the bake, put the previous champion back."""
    if not is_same_step(state, seen):
        return state
    update = _nobody()
    if state.stage == "bake":
        update |= {"champion": state.previous, "previous": None}
    return _call_waiting(state.model_copy(update=update))


def put_back(state: State, version: str) -> State:
    """By hand: make ``version`` champion at once; a rollout under way ends, and nobody waits."""
    previous = state.previous if state.champion == version else None
    update = {**_nobody(), "champion": version, "previous": previous, "waiting": None}
    return state.model_copy(update=update)


def _enter(state: State, place: Place, now: datetime) -> State:
    began = now if state.stage == "registered" else state.began
    return state.model_copy(
        update={"stage": place.stage, "weight": place.weight, "began": began, "since": now}
    )


def _nobody() -> dict[str, Any]:
    """No rollout is under way."""
    return {
        "challenger": None,
        "stage": "idle",
        "weight": 0.0,
        "began": None,
        "since": None,
        "approved": None,
    }


def _call_waiting(state: State) -> State:
    if state.waiting is None:
        return state
    return state.model_copy(
        update={"challenger": state.waiting, "stage": "registered", "waiting": None}
    )
