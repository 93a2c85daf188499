"""A version takes over step by step, and each step is written down as it was seen."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from perennial.loop.takeover import Step, takes_over_at_once
from perennial.registry import (
    Lineage,
    Manifest,
    Recipe,
    Runtime,
    State,
    read_history,
    read_state,
)
from perennial.rollout.evidence import Evidence, Losses, Side
from perennial.spec import Bake, Canary, Rollout, Shadow
from perennial.store import layout
from perennial.store.memory import MemoryStore
from tests.loop.checks import check, keep
from tests.loop.making import NOW

ROLLOUT = Rollout(shadow=Shadow(rows=10), canary=Canary(weights=(0.5,), rows=10), bake=None)
AT_ONCE = Rollout(shadow=None, canary=None, bake=None)


NEW, OLD = "0002-new", "0001-old"


@pytest.fixture
def store():
    """A challenger's manifest is there."""
    store = MemoryStore()
    lineage = Lineage(
        snapshot="s",
        spec="d",
        code="0",
        sources="s",
        environment={},
        lock="l",
        threads=1,
        seed=0,
        recipe=Recipe(trained_rows=1, trial_rows=1, judged_rows=1, shares={}),
        parent=OLD,
        reason="a test",
        cause=layout.check("p", "w000001"),
        run="a run",
        estimator="linear",
        depth="correct",
        base=OLD,
    )
    made = Manifest(
        pipeline="p",
        version=NEW,
        task="regression",
        created_at=NOW,
        fence=0,
        files={},
        lineage=lineage,
        runtime=Runtime(ir=8, opsets={}),
        metrics={},
    )
    store.put_json(layout.manifest("p", NEW), made)
    return store


def stand(store, stage, weight=0.0):
    """Put the challenger into a stage."""
    times = {} if stage == "registered" else {"began": NOW, "since": NOW}
    who = {"champion": NEW, "previous": OLD} if stage == "bake" else {"champion": OLD}
    if stage != "bake":
        who["challenger"] = NEW
    state = State(pipeline="p", stage=stage, weight=weight, updated_at=NOW, **who, **times)
    store.put_json(layout.state("p"), state)
    return state


def losses(rows, change):
    rng = np.random.default_rng(0)
    champion = rng.uniform(0.5, 1.5, rows)
    return Losses(challenger=champion * (1 + change), champion=champion, bound=None)


def seen_rows(rows, change, **more):
    """What a look saw of so many labelled rows."""
    sides = {"challenger": Side(rows), "champion": Side(rows)}
    return Evidence(rows=rows, losses=losses(rows, change), **sides, **more)


LATER = NOW + timedelta(minutes=5)


def take(store, step, seen, rollout=ROLLOUT):
    return step.take(store, seen, rollout, by="test", clock=lambda: LATER)


def test_stages_decide_whether_it_takes_over_at_once():
    assert takes_over_at_once(AT_ONCE)
    assert takes_over_at_once(AT_ONCE.model_copy(update={"bake": Bake()}))
    assert not takes_over_at_once(ROLLOUT)
    assert not takes_over_at_once(Rollout())


def test_a_registered_version_goes_to_its_first_stage_and_says_when(store):
    seen = stand(store, "registered")
    after = take(store, Step.first(), seen)
    assert (after.stage, after.began, after.since, after.updated_at) == (
        "shadow",
        LATER,
        LATER,
        LATER,
    )
    (entry,) = read_history(store, "p")
    assert (entry.event, entry.version, entry.at) == ("rollout.advanced", NEW, LATER)
    assert (entry.reason, entry.cause) == ("passed its gate", layout.check("p", "w000001"))


def test_without_stages_it_is_champion_at_once(store):
    after = take(store, Step.first(), stand(store, "registered"), AT_ONCE)
    assert (after.champion, after.previous, after.stage) == (NEW, OLD, "idle")
    (entry,) = read_history(store, "p")
    assert (entry.event, entry.details["bake"]) == ("rollout.promoted", False)


def test_it_waits_for_rows(store):
    seen = stand(store, "shadow")
    step = Step.of(Evidence(rows=9), ROLLOUT, seen)
    assert step.waits
    assert "9 rows" in step.reason
    assert not Step.of(Evidence(rows=10), ROLLOUT, seen).waits


def test_a_better_one_is_promoted_and_what_was_seen_is_written_down(store):
    seen = stand(store, "canary", 0.5)
    step = Step.of(seen_rows(400, -0.3, weight=0.5), ROLLOUT, seen)
    assert step.move == "promote"
    assert take(store, step, seen).champion == NEW
    (entry,) = read_history(store, "p")
    assert (entry.details["rows"], entry.details["labelled_rows"]) == (400, 400)
    assert {check["name"] for check in entry.details["checks"]} >= {"loss", "errors"}


def test_one_that_is_worse_is_rolled_back_and_all_windows_so_far_are_answered(store):
    keep(store, check(1), check(2), check(3))
    seen = stand(store, "canary", 0.5)
    step = Step.of(seen_rows(400, 0.5, weight=0.5), ROLLOUT, seen)
    assert step.move == "roll_back"
    after = take(store, step, seen)
    assert (after.champion, after.challenger, after.answered) == (OLD, None, "w000003")


def test_in_the_bake_the_champion_before_comes_back(store):
    baked = ROLLOUT.model_copy(update={"bake": Bake(rows=1000)})
    seen = stand(store, "bake")
    assert Step.of(seen_rows(400, -0.3), baked, seen).waits
    step = Step.of(seen_rows(400, 0.5), baked, seen)
    assert take(store, step, seen, baked).champion == OLD
    (entry,) = read_history(store, "p")
    assert (entry.event, entry.version) == ("rollout.rolled_back", NEW)


def test_time_that_is_over_without_a_verdict_is_told(store):
    seen = stand(store, "canary", 0.5)
    over = seen_rows(20, 0.0, weight=0.5, seconds=1e6)
    step = Step.of(over, ROLLOUT, seen)
    assert step.move == "roll_back"
    assert step.reason.startswith("inconclusive, which is declared to mean roll back: ")
    kind = ROLLOUT.model_copy(update={"inconclusive": "promote"})
    assert Step.of(over, kind, seen).move == "promote"


def test_where_a_person_is_asked_it_waits_for_the_answer(store):
    asked = ROLLOUT.model_copy(update={"approval": "manual"})
    seen, shown = stand(store, "canary", 0.5), seen_rows(400, -0.3, weight=0.5)
    assert Step.of(shown, asked, seen).waits
    yes = seen.model_copy(update={"approved": NEW})
    assert Step.of(shown, asked, yes).move == "promote"
    another = seen.model_copy(update={"approved": OLD})
    assert Step.of(shown, asked, another).waits


def test_somebody_else_was_faster(store):
    seen = stand(store, "canary", 0.5)
    stand(store, "idle")
    assert take(store, Step.of(seen_rows(400, -0.3, weight=0.5), ROLLOUT, seen), seen) is None
    assert read_state(store, "p").state.champion == OLD
    assert [*read_history(store, "p")] == []
