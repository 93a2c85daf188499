from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import SpecError
from perennial.registry.state import State
from perennial.rollout.stages import (
    Place,
    advance,
    challenge,
    finish,
    go_to,
    in_flight,
    next_place,
    place_of,
    put_back,
    roll_back,
    who_answers,
)
from perennial.spec import Canary, Rollout

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ROLLOUT = Rollout(canary=Canary(weights=(0.1, 0.5)))
AT_ONCE = Rollout(shadow=None, canary=None, bake=None)
IDLE = State(pipeline="bike", champion="0001", updated_at=NOW)


def after(state, rollout=ROLLOUT, hours=1):
    return advance(state, state, rollout, NOW + timedelta(hours=hours))


def test_a_challenger_goes_through_all_stages():
    state = challenge(IDLE, "0002", ROLLOUT)
    seen = []
    while state.stage != "bake":
        state = after(state)
        seen.append((state.stage, state.weight))
    assert seen == [("shadow", 0.0), ("canary", 0.1), ("canary", 0.5), ("bake", 0.0)]
    assert (state.champion, state.previous, state.challenger) == ("0002", "0001", None)
    done = finish(state, state)
    assert (done.stage, done.champion, done.previous) == ("idle", "0002", "0001")


def test_without_stages_it_is_promoted_at_once():
    state = after(challenge(IDLE, "0002", AT_ONCE), AT_ONCE)
    assert (state.champion, state.stage, state.began) == ("0002", "idle", None)


def test_the_first_version_has_nobody_to_wait_for():
    empty = State(pipeline="bike", updated_at=NOW)
    state = after(challenge(empty, "0001", ROLLOUT))
    assert (state.champion, state.stage) == ("0001", "idle")


@pytest.mark.parametrize("weight", [0.2, 0.5, 0.9])
def test_a_weight_that_is_declared_no_more_goes_on_to_the_next_larger_one(weight):
    place = next_place("canary", weight, ROLLOUT)
    assert place is None if weight >= 0.5 else place.weight == 0.5


def test_a_step_is_taken_once():
    shadow = after(challenge(IDLE, "0002", ROLLOUT))
    canary = advance(shadow, shadow, ROLLOUT, NOW)
    assert advance(canary, shadow, ROLLOUT, NOW) == canary
    assert roll_back(canary, shadow) == canary


def test_a_rollback_before_promotion_leaves_the_champion():
    shadow = after(challenge(IDLE, "0002", ROLLOUT))
    state = roll_back(shadow, shadow)
    assert (state.champion, state.challenger, state.stage) == ("0001", None, "idle")


def test_a_rollback_in_the_bake_puts_the_old_champion_back():
    rollout = Rollout(shadow=None, canary=None)
    bake = after(challenge(IDLE, "0002", rollout), rollout)
    assert bake.stage == "bake"
    assert roll_back(bake, bake).champion == "0001"


def test_a_newer_version_waits_until_the_rollout_is_over():
    shadow = after(challenge(IDLE, "0002", ROLLOUT))
    waiting = challenge(shadow, "0003", ROLLOUT)
    assert (waiting.challenger, waiting.waiting) == ("0002", "0003")
    next_one = roll_back(waiting, shadow)
    assert (next_one.challenger, next_one.stage, next_one.waiting) == ("0003", "registered", None)


def test_or_it_supersedes():
    rollout = ROLLOUT.model_copy(update={"newer": "supersede"})
    shadow = after(challenge(IDLE, "0002", rollout), rollout)
    state = challenge(shadow, "0003", rollout)
    assert (state.challenger, state.stage, state.began) == ("0003", "registered", None)
    assert roll_back(state, shadow) == state


def test_by_hand_a_version_comes_back_and_nobody_waits():
    waiting = challenge(after(challenge(IDLE, "0003", ROLLOUT)), "0004", ROLLOUT)
    state = put_back(waiting, "0000")
    assert (state.champion, state.challenger, state.waiting) == ("0000", None, None)
    assert not in_flight(state)


def taken(state, goal, rollout=ROLLOUT):
    return go_to(state, state, place_of(goal, state, rollout), rollout, NOW)


def test_by_hand_a_challenger_goes_on_past_what_lies_between():
    registered = challenge(IDLE, "0002", ROLLOUT)
    canary = taken(registered, "canary")
    assert (canary.stage, canary.weight, canary.began, canary.since) == ("canary", 0.1, NOW, NOW)
    champion = taken(taken(registered, "shadow"), "promotion")
    assert (champion.champion, champion.previous, champion.stage) == ("0002", "0001", "bake")
    assert taken(challenge(IDLE, "0002", AT_ONCE), "promotion", AT_ONCE).champion == "0002"


def test_of_a_first_version_nobody_answered_before():
    first = State(pipeline="bike", champion="0001", updated_at=NOW)
    assert who_answers(first) == "0001 answers"
    assert who_answers(taken(challenge(first, "0002", ROLLOUT), "promotion")).endswith(
        "0002 answers, 0001 before it"
    )


def test_but_not_back_nor_to_what_is_not_declared():
    canary = taken(challenge(IDLE, "0002", ROLLOUT), "canary")
    with pytest.raises(SpecError, match="has no shadow ahead; it may be taken to: promotion"):
        taken(canary, "shadow")
    with pytest.raises(SpecError, match="has no canary ahead; it may be taken to: promotion"):
        taken(challenge(IDLE, "0002", AT_ONCE), "canary", AT_ONCE)


def test_where_somebody_else_took_the_step_it_is_not_taken_again():
    registered = challenge(IDLE, "0002", ROLLOUT)
    shadow = after(registered)
    assert go_to(shadow, registered, None, ROLLOUT, NOW) == shadow
    assert go_to(shadow, registered, Place("canary", 0.1), ROLLOUT, NOW) == shadow


@given(
    st.lists(st.sampled_from(["register", "advance", "back", "finish", "hand", "on"]), max_size=30)
)
def test_whatever_happens_the_state_hangs_together(steps):
    state, number = IDLE, 1
    for step in steps:
        if step == "register":
            number += 1
            state = challenge(state, f"{number:04d}", ROLLOUT)
        elif step == "advance":
            state = after(state)
        elif step == "back" and in_flight(state):
            state = roll_back(state, state)
        elif step == "finish":
            state = finish(state, state)
        elif step == "hand":
            state = put_back(state, "0001")
        elif step == "on" and state.challenger is not None:
            state = taken(state, "promotion" if state.stage == "canary" else "canary")
        assert state.champion is not None
        assert (state.challenger is not None) == (state.stage in ("registered", "shadow", "canary"))
        assert state.champion != state.challenger
        assert (state.since is not None) == in_flight(state)
        assert state.weight == 0 or state.stage == "canary"
        assert state.waiting is None or in_flight(state)
        assert state.previous is not None or state.stage != "bake"
