"""A version takes over as its rollout lets it, in a backtest too: by rows and labels, not hours."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from perennial.backtest.compare import backtest
from perennial.backtest.memory import A_ROW, BEGAN
from perennial.backtest.replay import ReplayedRun
from perennial.registry import HistoryEntry
from perennial.spec import PipelineSpec
from tests.backtest.playing import played, spec, stream

TURN, ASKED = 300, 400
"""The first window has turned, and small models are tried once it is over."""
STAGES: dict[str, Any] = {
    "shadow": {"rows": 50},
    "canary": {"rows": 50, "weights": [0.5]},
    "bake": {"rows": 100},
    "labels": 30,
}


def staged(**changes: Any) -> PipelineSpec:
    return spec(rollout={**STAGES, **changes})


@pytest.fixture(scope="module")
def careful() -> ReplayedRun:
    return played(stream(TURN), staged(), late=0)


def row_of(entry: HistoryEntry) -> int:
    """How many rows had been asked when something happened."""
    return int((entry.at - BEGAN) / A_ROW)


def of(run: ReplayedRun, number: str) -> list[tuple[str, str, int]]:
    """What became of a version: event, stage before it, row."""
    return [
        (entry.event, entry.details.get("stage", ""), row_of(entry))
        for entry in run.history
        if entry.version is not None and entry.version.startswith(number)
    ]


def test_a_better_version_takes_over_after_the_rows_and_labels_it_asks_for(
    careful: ReplayedRun,
) -> None:
    registered, begun, seen, promoted, finished = of(careful, "0002")
    assert registered == ("version.registered", "", ASKED)
    assert begun == ("rollout.advanced", "registered", ASKED)
    assert seen == ("rollout.advanced", "shadow", ASKED + 50)
    # Half of the rows are the challenger's, and labels come with the end of the window.
    assert promoted[:2] == ("rollout.promoted", "canary")
    assert max(ASKED + 50 + 50, ASKED + 100) < promoted[2] <= ASKED + 200
    assert finished == ("rollout.finished", "bake", promoted[2] + 100)


def test_at_once_it_takes_over_sooner(careful: ReplayedRun) -> None:
    at_once = played(stream(TURN), late=0)
    assert of(at_once, "0002") == [
        ("version.registered", "", ASKED),
        ("rollout.promoted", "registered", ASKED),
    ]
    assert at_once.score < careful.score
    before = ASKED - 300
    np.testing.assert_array_equal(at_once.outputs[:before], careful.outputs[:before])
    shadowed = slice(before, before + 50)
    assert (at_once.outputs[shadowed] != careful.outputs[shadowed]).any()


def test_while_a_challenger_is_on_its_way_no_heal_is_asked_for(careful: ReplayedRun) -> None:
    on_its_way = [c for c in careful.checks if "on its way to take over" in c.decision.reason]
    assert on_its_way
    assert all(c.decision.put_off and c.decision.action == "keep" for c in on_its_way)


def test_in_the_canary_each_answers_its_share(careful: ReplayedRun) -> None:
    (_, _, _, (_, _, last), _) = of(careful, "0002")
    shares = [e.details["rows"] / (last - ASKED - 50) for e in careful.history if row_of(e) == last]
    assert 0.3 < shares[0] < 0.7


@pytest.fixture(scope="module")
def undone() -> ReplayedRun:
    """The world turns back right behind the rows that taught the first small models."""
    return played(stream(TURN, ASKED), staged(), late=0)


def test_a_version_that_live_rows_show_to_be_worse_is_rolled_back(undone: ReplayedRun) -> None:
    assert [event for event, _, _ in of(undone, "0002")] == [
        "version.registered",
        "rollout.advanced",
        "rollout.advanced",
        "rollout.rolled_back",
    ]
    back = next(entry for entry in undone.history if entry.event == "rollout.rolled_back")
    assert "shown to be worse than +5.0%" in back.reason
    assert row_of(back) == ASKED + 100, "when the labels of the window came"
    assert undone.heals("correct") == 0
    assert undone.window_scores[-1] < 0.6
    assert {check.champion[:4] for check in undone.checks} == {"0001"}


def test_after_a_rollback_the_next_heal_waits(undone: ReplayedRun) -> None:
    back = next(entry for entry in undone.history if entry.event == "rollout.rolled_back")
    later = next(check for check in undone.checks if check.at > back.at)
    assert later.decision.put_off
    assert "after the last one" in later.decision.reason


def test_a_version_registered_in_a_bake_waits_for_its_end(careful: ReplayedRun) -> None:
    baked = [entry for entry in careful.history if entry.event == "rollout.finished"]
    begun = [e for e in careful.history if e.details.get("stage") == "registered"][2:]
    assert [row_of(e) for e in begun] == [row_of(e) for e in baked[: len(begun)]]
    assert all(one.id < other.id for one, other in pairwise(careful.history))


def test_nobody_has_to_approve() -> None:
    run = played(stream(TURN, rows=1100), staged(approval="manual"), windows=8, late=0)
    assert "rollout.promoted" in {event for event, _, _ in of(run, "0002")}


@pytest.mark.usefixtures("one_process")
def test_a_backtest_may_leave_the_stages_out() -> None:
    frame = stream(TURN, rows=1100)
    found = backtest(frame, staged(), policies=["perennial"], windows=8, jobs=1, at_once=True)
    quick = found.policies["perennial"]
    assert quick.score == played(frame, windows=8, late=0).score
    assert "on its way to take over" not in "".join(d.reason for d in quick.decisions)
