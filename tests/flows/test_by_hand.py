"""What a person decides, from Prefect's UI."""

import pytest

from benchmarks.versions import put_version
from flows.by_hand import advance as send_on
from flows.by_hand import approve, rollback
from perennial.registry import change_state, declare, new_entry, read_history, read_state
from perennial.rollout.stages import advance, challenge
from perennial.spec import Rollout
from perennial.store.lease import utc_now
from tests.flows.conftest import frame
from tests.serving.serving_models import REGRESSION, sum_model

ROLLOUT = Rollout()


@pytest.fixture
def line(connected, pipeline):
    """Version 1 answers, version 2 is in its shadow."""
    declare(connected, pipeline(frame()))
    for version in ("0001-a", "0002-b"):
        put_version(connected, "line", version, sum_model(), REGRESSION)
        change(connected, "version.registered", lambda s, v=version: challenge(s, v, ROLLOUT))
        change(connected, "rollout.advanced", lambda s: advance(s, s, ROLLOUT, utc_now()))
    return connected


def change(store, event, how):
    change_state(store, "line", how, new_entry(event, reason="so", by="test"))


def state_of(store):
    return read_state(store, "line").state


def test_a_rollback_puts_an_earlier_version_back(line):
    state = rollback("line", to="0002-b", why="to see", return_state=True)
    assert (state.name, state.message) == ("Rolled back", "0002-b answers")
    assert (state_of(line).champion, state_of(line).challenger) == ("0002-b", None)
    state = rollback("line", to="0001-a", return_state=True)
    assert state_of(line).champion == "0001-a"
    last = list(read_history(line, "line"))[-1]
    assert (last.event, last.version) == ("rollout.rolled_back", "0002-b")
    assert last.by == "rollback line"


def test_without_a_version_it_gives_the_challenger_up(line):
    assert rollback("line", return_state=True).message == "0001-a answers"
    assert (state_of(line).champion, state_of(line).stage) == ("0001-a", "idle")


def test_a_version_that_is_not_there_is_refused_in_one_line(line):
    state = rollback("line", to="7", return_state=True)
    assert state.type.value == "FAILED"
    assert state.message == "line: there is no version '7'; known: 0001-a, 0002-b"
    assert state_of(line).challenger == "0002-b"


def test_a_challenger_is_taken_on_at_once_and_its_rollout_watched(line, pipeline):
    state = send_on("line", to="canary", why="no time", return_state=True)
    assert (state.name, state.message) == ("Advanced", "0002-b is in its canary")
    assert (state_of(line).stage, state_of(line).champion) == ("canary", "0001-a")
    state = send_on("line", return_state=True)
    assert (state.name, state.message) == ("Promoted", "0002-b answers, 0001-a before it")
    assert (state_of(line).champion, state_of(line).stage) == ("0002-b", "bake")
    first, second = list(read_history(line, "line"))[-2:]
    assert (first.event, first.reason, first.by) == (
        "rollout.advanced",
        "no time",
        "advance line to canary",
    )
    assert (second.event, second.details["by_hand"]) == ("rollout.promoted", True)


def test_behind_one_that_was_promoted_the_version_that_waits_is_called(line, pipeline):
    file = pipeline(frame()) / "pipeline.yaml"
    file.write_text(file.read_text() + "rollout: {bake: null}\n")
    put_version(line, "line", "0003-c", sum_model(), REGRESSION)
    change(line, "version.registered", lambda s: challenge(s, "0003-c", ROLLOUT))
    state = send_on("line", return_state=True)
    assert (state.name, state.message) == ("Promoted", "0002-b answers, 0001-a before it")
    assert (state_of(line).challenger, state_of(line).stage) == ("0003-c", "registered")


def test_a_stage_that_does_not_lie_ahead_is_refused_in_one_line(line):
    state = send_on("line", to="shadow", return_state=True)
    assert state.type.value == "FAILED"
    assert state.message.endswith("no shadow ahead; it may be taken to: canary, promotion")
    assert state_of(line).stage == "shadow"


def test_an_approval_stands_in_state_and_history(line):
    state = approve("line", why="looks well", return_state=True)
    assert (state.name, state.message) == ("Approved", "0002-b may be promoted")
    assert state_of(line).approved == "0002-b"
    last = list(read_history(line, "line"))[-1]
    assert (last.event, last.reason, last.by) == ("rollout.approved", "looks well", "approve line")


def test_where_nobody_waits_there_is_nothing_to_approve(line):
    rollback("line", return_state=True)
    state = approve("line", return_state=True)
    assert state.type.value == "FAILED"
    assert "line has no challenger to approve of" in state.message
