"""Window, schedule and rollout go with the pace of a stream."""

from __future__ import annotations

import pandas as pd
import pytest

from perennial.declaring.pace import guess_window, set_pace
from perennial.spec import Rollout, parse_duration


def times(rows: int, every: str) -> pd.Series:
    return pd.Series(pd.date_range("2030-01-01", periods=rows, freq=every))


@pytest.mark.parametrize(
    ("rows", "window"), [(30, 20), (400, 40), (3_000, 100), (17_379, 278), (1_000_000, 16_000)]
)
def test_a_stream_has_some_fifty_windows_and_a_short_one_a_few(rows, window):
    assert guess_window(rows)[0] == window


def test_windows_are_long_enough_to_hold_some_rows_of_the_rarest_class():
    assert guess_window(3_000, rarest=0.04)[0] > 10 / 0.04
    assert guess_window(3_000, rarest=0.001)[0] == 2_400 // 8


@pytest.mark.parametrize(
    ("every", "schedule"),
    [
        ("s", "* * * * *"),
        ("6s", "*/5 * * * *"),
        ("min", "*/15 * * * *"),
        ("10min", "0 * * * *"),
        ("h", "0 * * * *"),
        ("D", "0 * * * *"),
    ],
)
def test_the_stream_is_looked_at_twice_a_window_and_every_hour_at_least(every, schedule):
    assert set_pace(3_000, times(3_000, every), None).schedule == schedule


def test_without_a_time_the_stream_is_looked_at_every_hour():
    pace = set_pace(3_000, None, None)
    assert (pace.schedule, pace.rows_a_day) == ("0 * * * *", None)


@pytest.mark.parametrize("every", ["s", "min", "h"])
@pytest.mark.parametrize("rows", [400, 3_000, 20_000])
def test_every_stage_is_one_that_the_stream_can_fill(rows, every):
    stream = times(rows, every)
    pace = set_pace(rows, stream, None)
    rollout = Rollout.model_validate(pace.rollout)
    a_second = (rows - 1) / (stream.max() - stream.min()).total_seconds()
    for stage, share in (
        (rollout.shadow, 1.0),
        (rollout.canary, rollout.canary.weights[0]),
        (rollout.bake, 1.0),
    ):
        assert stage.rows <= share * a_second * stage.time.total_seconds()
        assert stage.rows <= max(pace.window, 20)


def test_no_stage_is_longer_than_a_season():
    rollout = set_pace(730, times(730, "D"), None).rollout
    assert parse_duration(rollout["canary"]["time"]).days == 90  # type: ignore[index]


def test_a_fast_stream_of_long_windows_has_the_usual_rollout():
    assert set_pace(100_000, times(100_000, "s"), None).rollout == {}
