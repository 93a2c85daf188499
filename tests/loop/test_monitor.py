"""The monitor on a stream in memory: what it holds, waits for, puts off and leaves out."""

from __future__ import annotations

import numpy as np
import pytest

from perennial.backtest.memory import MemorySnapshots, MemoryStream
from perennial.backtest.stream import Cut, Recorded
from perennial.evaluation.mixing import Mixture
from perennial.loop.inspection import Expectations
from perennial.loop.monitor import PipelineMonitor
from perennial.loop.places import Place
from perennial.loop.record import newest_checks, read_fact
from perennial.loop.versions import answer
from perennial.registry import change_state, new_entry
from perennial.store import layout
from perennial.store.memory import MemoryStore
from perennial.validation.quarantine import Quarantine
from perennial.validation.suites import need_suite
from tests.loop.making import Pipeline, joined, spec, stream

FIRST, WINDOW = 300, 40
OLD = stream(FIRST)


@pytest.fixture(scope="module")
def begun():
    """A pipeline with its first version."""
    store = MemoryStore()
    pipeline = Pipeline(store=store, snapshots=MemorySnapshots(store, "p"))
    pipeline.renew(OLD)
    return pipeline


class Watched:
    """A pipeline whose windows come one by one."""

    def __init__(self, begun: Pipeline) -> None:
        self.store = MemoryStore()
        for info in begun.store.scan(""):
            self.store.put(info.key, begun.store.get(info.key).data)
        kept = MemorySnapshots(self.store, "p", dict(begun.snapshots._frames))
        self.pipeline = Pipeline(store=self.store, snapshots=kept)
        self.rows = stream(10 * WINDOW, seed=1)
        self.late = 1
        self.checks = []

    def look(self):
        """Look at the next window, and keep what was found."""
        where = Cut(FIRST + WINDOW * np.arange(11), self.late)
        recorded = Recorded(joined(OLD, self.rows), self.pipeline.spec, where)
        rules = Expectations(need_suite(self.store, self.pipeline.declaration))
        seen = MemoryStream(recorded, len(self.checks))
        champion = self.pipeline.champion
        (check,) = PipelineMonitor(self.store, self.pipeline.spec, seen, champion, rules).checks()
        self.store.put_json(layout.check("p", check.window), check)
        self.checks.append(check)
        return check

    def change(self, **update):
        """Change who answers, and what is answered."""
        change_state(
            self.store,
            "p",
            lambda state: state.model_copy(update=update),
            new_entry("rollout.advanced", reason="so", by="test"),
        )


@pytest.fixture
def watched(begun):
    return Watched(begun)


def pending(check):
    return [window.window for window in Place.model_validate(check.cursor).pending]


def test_a_window_waits_for_its_labels(watched):
    first, second = watched.look(), watched.look()
    assert (first.losses, first.labels, pending(first)) == ((), (), ["w000001"])
    assert [(loss.window, loss.rows) for loss in second.losses] == [("w000001", WINDOW)]
    assert len(second.labels) == 1
    assert pending(second) == ["w000002"]
    assert second.rows == WINDOW


def test_what_the_members_got_wrong_is_measured_once_the_labels_are_there(watched):
    watched.late = 2
    first, second, third = (watched.look() for _ in range(3))
    assert (first.errors, second.errors) == ((), ())
    (errors,) = third.errors
    assert (errors.window, errors.rows, errors.late) == ("w000001", WINDOW, 2)
    assert (errors.first, errors.members) == (watched.pipeline.champion.name, ("first",))
    rows = watched.rows[:WINDOW]
    wrong = answer(watched.pipeline.champion.served, rows)[:, 0] - rows["y"]
    assert errors.products[0][0] == pytest.approx((wrong**2).mean(), rel=1e-5)
    assert third.decision.mixture.shares == pytest.approx(Mixture.equal().shares)


def test_a_window_is_weighed_by_the_members_of_the_version_that_answered_it(watched):
    first, mixture = watched.look(), Mixture(first=0.5, correct=0.5)
    rows = joined(OLD, watched.rows[:WINDOW])
    watched.pipeline.renew(rows, "correct", mixture)
    second, third = watched.look(), watched.look()
    assert {check.champion for check in (second, third)} != {first.champion}
    assert [errors.members for errors in second.errors] == [("first",)]
    (errors,) = third.errors
    assert errors.members == ("first", "recalibrate", "renew", "correct")
    assert errors.first == first.champion, "it is the same mixture"
    standing = watched.pipeline.champion
    served = answer(standing.served, watched.rows[WINDOW : 2 * WINDOW])[:, 0]
    wrong = served - watched.rows["y"][WINDOW : 2 * WINDOW]
    shares = mixture.shares
    assert shares @ errors.whole @ shares == pytest.approx((wrong**2).mean(), rel=1e-4)


def test_what_members_of_another_mixture_got_wrong_is_forgotten(watched):
    watched.look()
    watched.pipeline.spec = spec(model={"estimators": ["linear"]})
    watched.pipeline.renew(joined(OLD, watched.rows[:WINDOW]))
    second, third = watched.look(), watched.look()
    assert second.errors == (), "another mixture has answered this window"
    assert [errors.first for errors in third.errors] == [watched.pipeline.champion.name]
    assert third.decision.windows == ("w000002", "w000002")


def test_labels_of_some_rows_are_waited_for_until_those_of_a_later_window_have_come(watched):
    watched.rows.loc[: WINDOW - 1, "y"] = np.nan
    watched.look()
    assert pending(watched.look()) == ["w000001", "w000002"]
    third = watched.look()
    assert [loss.window for loss in third.losses] == ["w000002"]
    assert pending(third) == ["w000003"]


def test_silence_is_told_after_a_while(watched):
    watched.late = 99
    told = [watched.look().labels_missing for _ in range(7)]
    assert told[:6] == [None] * 6
    assert "no labels have come for window 1, 6 windows ago; none have come yet" in told[6]


def test_what_is_known_at_a_look_is_written_down(watched):
    check = watched.look()
    assert check.facts.window == check.window == "w000001"
    assert check.facts.source_rows == FIRST
    assert read_fact(watched.store, "p", check.facts.declaration)["name"] == "p"
    assert read_fact(watched.store, "p", check.facts.suite)["expectations"]
    assert (check.champion, check.known) != (None, None)
    assert watched.look().facts.window == "w000002"


def test_a_broken_window_is_held_and_never_is_evidence(watched):
    watched.rows.loc[WINDOW : 2 * WINDOW - 1, "x"] *= 1000
    checks = [watched.look() for _ in range(4)]
    held = checks[1]
    assert (held.decision.action, held.decision.ground) == ("hold", "data")
    assert held.decision.reason.startswith("data held: ")
    assert [verdict.window for verdict in held.data] == ["w000002"]
    assert held.input is None
    assert [loss.window for check in checks for loss in check.losses] == ["w000001", "w000003"]
    (record,) = Quarantine(watched.store, "p").held_windows()
    assert record.name == layout.held_window("w000002")
    assert (record.start.source_rows, record.end.source_rows) == (340, 380)


def test_rows_that_the_rules_refuse_go_aside_and_are_not_judged(watched):
    watched.rows.loc[7, "x"] = 60.0
    first, second = watched.look(), watched.look()
    assert (first.decision.action, first.refused) == ("keep", 1)
    assert first.input.rows == WINDOW - 1
    assert [loss.rows for loss in second.losses] == [WINDOW - 1]
    (entry,) = Quarantine(watched.store, "p").entries()
    assert (entry.record.kind, entry.record.rows) == ("rows", 1)


def test_a_heal_that_is_not_answered_puts_others_off(watched):
    asked = watched.look()
    heal = asked.decision.model_copy(update={"action": "heal", "depth": "correct"})
    asked = asked.model_copy(update={"decision": heal})
    watched.store.put_json(layout.check("p", "w000001"), asked)
    waits = watched.look().decision
    assert (waits.action, waits.put_off) == ("keep", True)
    assert waits.reason == "the heal that window 1 asked for has not been answered yet"
    watched.change(answered="w000001")
    assert "has not been answered" not in watched.look().decision.reason


def test_a_challenger_on_its_way_puts_heals_off(watched):
    watched.change(challenger="0002-x", stage="shadow")
    check = watched.look()
    assert check.decision.put_off
    assert check.decision.reason == "0002-x is on its way to take over (shadow)"
    watched.change(challenger=None, stage="idle")
    assert not watched.look().decision.put_off


def test_right_after_a_heal_was_answered_no_other_is_asked_for(watched):
    watched.pipeline.spec = spec(policy={"cooldown": 2})
    watched.look()
    watched.change(answered="w000001")
    waited = [watched.look().decision for _ in range(3)]
    assert [decision.put_off for decision in waited] == [True, True, False]
    assert "window 1 of 2 after the last one" in waited[0].reason


def test_the_checks_so_far_are_read_from_the_store(watched):
    for _ in range(3):
        watched.look()
    found = [*newest_checks(watched.store, "p")]
    assert found == watched.checks[::-1]
