from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from perennial.alerts.aim import take_aim
from perennial.alerts.rules import Order
from perennial.registry import State, new_entry

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
SETTLE = timedelta(minutes=15)
CANARY = {"champion": "v2", "challenger": "v3", "stage": "canary", "previous": "v1"}
BAKE = {"champion": "v2", "stage": "bake", "previous": "v1"}


def aim(state, version=None, since=NOW, rolled_back_at=None):
    order = Order(
        name="n", pipeline="p", action="rollback", reason="r", version=version, since=since
    )
    changes = []
    if rolled_back_at is not None:
        entry = new_entry("rollout.rolled_back", version="v9", reason="worse", by="rollout")
        changes.append(entry.model_copy(update={"at": rolled_back_at}))
    stands = State(pipeline="p", updated_at=NOW, **state)
    return take_aim(order, stands, changes, SETTLE, NOW)


@pytest.mark.parametrize(
    ("state", "version", "to"),
    [
        (BAKE, None, "v1"),
        (BAKE, "v2", "v1"),
        (CANARY, None, "v2"),
        (CANARY, "v3", "v2"),
        (CANARY, "v2", "v1"),
    ],
)
def test_whoever_is_at_fault_is_followed_by_who_was_before(state, version, to):
    found = aim(state, version)
    assert (found.to, found.fault) == (to, "")


def test_a_version_that_answers_no_more_is_let_be():
    found = aim(BAKE, "v1")
    assert (found.to, found.overtaken) == (None, True)


@pytest.mark.parametrize("state", [{}, {"champion": "v1"}])
def test_where_nobody_stood_before_nobody_can_come_back(state):
    found = aim(state)
    assert (found.to, found.overtaken) == (None, False)
    assert "no earlier champion" in found.fault


@pytest.mark.parametrize(
    ("since", "back", "overtaken"),
    [
        (NOW, NOW - timedelta(minutes=14), True),
        (NOW, NOW - timedelta(minutes=16), False),
        (NOW - timedelta(hours=1), NOW - timedelta(minutes=50), True),
        (NOW - timedelta(hours=1), NOW - timedelta(minutes=70), False),
    ],
)
def test_without_a_version_a_rollback_that_just_was_is_the_answer(since, back, overtaken):
    assert aim(BAKE, since=since, rolled_back_at=back).overtaken is overtaken
    assert aim(BAKE, "v2", since=since, rolled_back_at=back).to == "v1"


def test_an_aim_holds_as_long_as_the_same_stand():
    found = aim(CANARY)
    assert found.holds(State(pipeline="p", updated_at=NOW, **CANARY))
    assert not found.holds(State(pipeline="p", updated_at=NOW, **BAKE))
