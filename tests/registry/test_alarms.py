"""When failures in a row become an alarm, from facts alone."""

from datetime import UTC, datetime, timedelta

import pytest

from perennial.registry import HistoryEntry, Streak, after_look, alarms, look_streak, retrain_streak
from perennial.registry.alarms import missed_looks

BEGAN = datetime(2030, 1, 1, tzinfo=UTC)
EVENTS = {
    "ok": "version.registered",
    "no": "version.refused",
    "bad": "retrain.failed",
    "up": "rollout.promoted",
}


def at(hours):
    return BEGAN + timedelta(hours=hours)


def streak(text):
    """Of a history, the oldest first: an event an hour."""
    entries = [
        HistoryEntry(id=str(n), at=at(n), event=EVENTS[word], reason=f"reason {n}", by="test")
        for n, word in enumerate(text.split())
    ]
    return retrain_streak(reversed(entries))


@pytest.mark.parametrize(
    ("history", "failures", "success"),
    [
        ("", 0, None),
        ("ok up", 0, 0),
        ("ok bad", 1, 0),
        ("bad bad ok up bad bad bad", 3, 2),
        ("bad bad", 2, None),
        ("ok bad no bad", 1, 0),
        ("ok bad bad no", 0, 0),
    ],
)
def test_failures_count_from_the_last_retrain_that_came_to_a_gate(history, failures, success):
    found = streak(history)
    assert found.failures == failures
    assert found.success == (None if success is None else at(success))
    assert found.loud == (failures >= 2)


def test_the_line_says_since_when_how_often_and_why_the_last_one():
    assert streak("ok bad bad").told("retrain") == (
        "no successful retrain since 2030-01-01 00:00 UTC (2 failures in a row): reason 2"
    )
    assert streak("bad bad").told("retrain").startswith("no successful retrain yet (2 failures")


def test_people_are_told_again_with_the_second_fourth_and_eighth_failure():
    names = [streak("ok" + " bad" * n).incident for n in range(1, 9)]
    assert [names.index(name) + 1 for name in dict.fromkeys(names)] == [1, 2, 4, 8]
    assert streak("ok bad bad").incident != streak("ok ok bad bad").incident


def test_the_monitors_failures_count_until_one_run_ends_well():
    look = after_look(None, at(0), None)
    for hour in (1, 2):
        look = after_look(look, at(hour), f"fault {hour}")
    assert look_streak(look) == Streak(failures=2, began=at(1), reason="fault 2", success=at(0))
    assert look_streak(after_look(look, at(3), None)) == Streak(success=at(3))


def test_a_monitor_that_does_not_run_though_it_is_due_is_an_alarm():
    look = after_look(None, at(0), None)
    trained = Streak(success=at(0))
    for hours, wanted in ((2.5, 0), (3.5, 1)):
        assert len(alarms(trained, look, "0 * * * *", at(hours))) == wanted
    (line,) = alarms(trained, look, "0 * * * *", at(9))
    assert line == (
        "the monitor has not run since 2030-01-01 00:00 UTC, and 3 runs or more were due by "
        "'0 * * * *'"
    )
    assert alarms(trained, look, None, at(999)) == ()


def test_where_there_is_no_model_no_run_of_the_monitor_is_missed():
    assert missed_looks("0 * * * *", None, None, at(99)) == 0
    assert missed_looks("0 * * * *", None, at(0), at(99)) == 3


def test_a_schedule_that_was_just_made_tighter_is_given_time():
    assert missed_looks("* * * * *", None, at(0), at(0.1)) == 0
    assert missed_looks("* * * * *", None, at(0), at(0.5)) == 3
