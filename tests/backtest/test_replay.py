"""The loop, replayed, heals a change, leaves the unchanged alone and sees nothing of the future."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perennial.backtest.replay import ReplayedRun, replay
from perennial.backtest.stream import Recorded, cut
from perennial.errors import SourceError, TrainingError
from perennial.loop.record import WindowCheck
from perennial.registry import Declaration
from tests.backtest.playing import played, spec, stream

TURN = 600


@pytest.fixture(scope="module")
def healed() -> ReplayedRun:
    return played(stream(TURN))


def made(run: ReplayedRun) -> list[str]:
    """The windows that asked for what was made of them."""
    events = ("version.registered", "version.refused")
    return [str(entry.cause) for entry in run.history if entry.event in events][1:]


def test_a_change_is_healed(healed: ReplayedRun) -> None:
    assert healed.heals("correct") >= 1
    assert healed.window_scores[-1] < 1.2 < 4 < max(healed.window_scores)


def test_a_stream_without_change_is_left_as_it_is() -> None:
    run = played(stream())
    assert run.heals("retrain") <= 1
    assert run.score < 0.51


def test_every_window_is_checked_and_says_why(healed: ReplayedRun) -> None:
    assert [check.window for check in healed.checks] == [f"w{i:06d}" for i in range(1, 13)]
    assert all(check.decision.reason for check in healed.checks)
    assert healed.checks[0].champion.startswith("0001")


def test_what_is_made_are_the_heals_that_checks_asked_for(healed: ReplayedRun) -> None:
    asked = [check.window for check in healed.checks[:-1] if check.decision.action == "heal"]
    assert [cause.split("/")[-1].removesuffix(".json") for cause in made(healed)] == asked


def test_the_windows_are_those_of_the_cut_whatever_is_declared(healed: ReplayedRun) -> None:
    assert spec().monitor.window.rows == 1000
    assert {check.rows for check in healed.checks} == {100}
    gates = [e.details for e in healed.history if e.details.get("depth") == "correct"]
    assert max(gate["trained_rows"] for gate in gates) == 600, (
        "five windows, one more for the delay"
    )


def told(checks: Sequence[WindowCheck]) -> list[dict[str, Any]]:
    """All that checks say, but what no two runs share: the seconds that a heal took, what they
    cost, and names of entries."""
    left_out: Any = {"known": True, "decision": {"cpu_seconds", "price"}}
    return [check.model_dump(exclude=left_out) for check in checks]


def test_what_a_heal_costs_is_measured_and_weighed(healed: ReplayedRun) -> None:
    decisions = [check.decision for check in healed.checks]
    first, *later = [one.cpu_seconds for one in decisions if one.depth == "correct"]
    assert first == 0, "there was no head yet whose seconds are known"
    assert all(seconds is not None and 0 < seconds < healed.cpu_seconds for seconds in later)


def test_a_second_run_comes_to_the_same(healed: ReplayedRun) -> None:
    again = played(stream(TURN))
    assert told(again.checks) == told(healed.checks)
    np.testing.assert_array_equal(again.outputs, healed.outputs)
    assert [(e.at, e.event) for e in again.history] == [(e.at, e.event) for e in healed.history]


def test_the_history_is_in_order_and_in_the_time_of_the_rows(healed: ReplayedRun) -> None:
    times = [entry.at for entry in healed.history]
    assert times == sorted(times)
    assert {time.year for time in times} == {2000}


def test_the_future_changes_nothing_of_the_past(healed: ReplayedRun) -> None:
    altered = stream(TURN)
    altered.loc[1100:, "y"] = 1e6
    altered.loc[1100:, "a"] -= 5
    again = played(altered)
    assert told(again.checks[:8]) == told(healed.checks[:8])
    np.testing.assert_array_equal(again.outputs[:800], healed.outputs[:800])


def test_labels_that_never_come_ask_for_nothing_by_themselves() -> None:
    run = played(stream(TURN), late=12)
    assert made(run) == []
    assert all(check.losses == check.errors == () for check in run.checks)
    assert {check.decision.action for check in run.checks} == {"keep"}


def test_without_labels_inputs_that_moved_are_asked_about() -> None:
    frame = stream()
    frame.loc[TURN:, "a"] += 5
    run = played(frame, windows=6, late=6)
    assert {check.decision.ground for check in run.checks} == {"none", "input"}
    asked = next(check for check in run.checks if check.decision.action == "heal")
    assert asked.decision.features[0] == "a"
    assert "no labelled row is newer" in run.refused[asked.window]


def test_rows_without_a_label_are_passed_over() -> None:
    frame = stream(TURN)
    frame.loc[::3, "y"] = np.nan
    run = played(frame, late=0)
    assert made(run)
    assert run.window_scores[-1] < 1.2


def test_what_was_fitted_is_counted(healed: ReplayedRun) -> None:
    assert healed.fits >= 2 + len(made(healed))
    assert 0 < healed.first_cpu_seconds < healed.cpu_seconds < healed.seconds


def test_rules_of_a_person_count(tmp_path: Path) -> None:
    rule = {
        "type": "expect_table_row_count_to_be_between",
        "kwargs": {"min_value": 1, "max_value": 100},
        "meta": {"severity": "hold"},
    }
    suite = {"name": "toy", "expectations": [rule], "meta": {}}
    (tmp_path / "expectations.json").write_text(json.dumps(suite))
    recorded = Recorded(stream(), spec(), cut(1500, windows=12, train_fraction=0.2))
    with pytest.raises(TrainingError, match="expect_table_row_count_to_be_between is broken"):
        replay(recorded, Declaration(spec=spec(), folder=str(tmp_path)))


def test_what_nothing_can_be_made_of_is_said() -> None:
    with pytest.raises(SourceError, match="12 windows of 16 rows are too short"):
        played(stream(rows=250))
    frame = stream()
    frame.loc[:400, "y"] = np.nan
    with pytest.raises(SourceError, match="no row to begin with has a value of 'y'"):
        played(frame)
