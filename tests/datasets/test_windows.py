"""Where a window of time ends, whatever times its rows claim."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.datasets.windows import VOICES, first_cut, strays
from perennial.spec import Span

BEGIN = datetime(2026, 1, 1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TWO_DAYS = Span(duration=2 * DAY)
FEW = VOICES // 2


def hourly(rows: int, begin: datetime = BEGIN) -> list[datetime]:
    return [begin + n * HOUR for n in range(rows)]


def cuts(times: list[datetime], size: Span = TWO_DAYS) -> list[int]:
    """Where the windows of a stream end."""
    frame = pd.DataFrame({"ts": pd.Series(times, dtype="datetime64[ns]")})
    found = [0]
    while (cut := first_cut(frame.iloc[found[-1] :], "ts", size)) is not None:
        assert cut > 0
        found.append(found[-1] + cut)
    return found[1:]


def test_a_window_holds_the_rows_of_its_span() -> None:
    assert cuts(hourly(200)) == [48, 96, 144, 192]


def test_it_waits_until_most_of_the_next_rows_lie_behind_it() -> None:
    assert cuts(hourly(48 + FEW)) == []
    assert cuts(hourly(48 + FEW + 1)) == [48]


@pytest.mark.parametrize("far", [timedelta(days=36_500), timedelta(days=-36_500)])
@pytest.mark.parametrize("at", [0, 1, 30, 47, 60])
@pytest.mark.parametrize("count", [1, FEW])
def test_a_few_rows_far_off_end_no_window_and_make_no_row_late(
    far: timedelta, at: int, count: int
) -> None:
    times = hourly(400)
    times[at:at] = [BEGIN + far] * count
    found = cuts(times)
    for number, (cut, plain) in enumerate(zip(found, cuts(hourly(400)), strict=False)):
        assert abs(cut - plain) <= count + FEW, number
    assert len(found) == 8


@given(st.dictionaries(st.integers(0, 60), st.integers(-(10**6), 10**6) | st.integers(0, 600)))
def test_one_row_in_ten_may_claim_any_time(spoiled: dict[int, int]) -> None:
    times = hourly(610)
    for place, hours in spoiled.items():
        times[10 * place] = BEGIN + hours * HOUR
    sizes = np.diff([0, *cuts(times)])
    assert 48 - VOICES <= sizes.min() <= sizes.max() <= 48 + VOICES
    assert len(sizes) >= 11


@pytest.mark.parametrize("days", [30, 36_500, -30, -36_500])
def test_a_stream_that_really_jumps_is_followed(days: int) -> None:
    jumped = BEGIN + timedelta(hours=120) + timedelta(days=days)
    found = cuts([*hourly(120), *hourly(200, jumped)])
    assert found == [48, 96, 120, 168, 216, 264, 312]


def test_a_source_that_ends_in_the_future_does_not_stop_the_rows_that_are_served_today() -> None:
    future = hourly(20, BEGIN + timedelta(days=900))
    assert cuts([*future, *hourly(110)]) == [20, 68, 116]


def test_a_stream_that_falls_back_a_little_goes_on_in_its_window() -> None:
    found = cuts([*hourly(40), *hourly(100, BEGIN + 20 * HOUR)])
    assert found == [40 + 28, 40 + 28 + 48]


def test_late_rows_count_in_the_window_in_which_they_arrive() -> None:
    times = hourly(200)
    late = [times[5], times[6]]
    assert cuts([*times[:60], *late, *times[60:]])[:2] == [48, 98]


@given(st.lists(st.integers(0, 3 * 24 * 365), max_size=120), st.integers(1, 40))
def test_a_window_that_is_cut_is_not_cut_otherwise_when_more_rows_have_come(
    hours: list[int], step: int
) -> None:
    times = [BEGIN + h * HOUR for h in hours]
    whole = cuts(times)
    for end in range(step, len(times), step):
        some = cuts(times[:end])
        assert some == whole[: len(some)]


def test_rows_without_a_time_column_happen_when_they_arrive() -> None:
    arrived = pd.Series(hourly(100)).dt.tz_localize("UTC")
    assert first_cut(pd.DataFrame({"_time": arrived}), None, TWO_DAYS) == 48
    mixed = pd.DataFrame({"x": 1.0, "_time": [pd.NaT] * 30 + list(arrived)})
    assert first_cut(mixed, None, TWO_DAYS) == 30 + 48
    assert first_cut(pd.DataFrame({"x": [1.0] * 99}), None, TWO_DAYS) is None


def test_a_window_of_rows_takes_so_many_rows() -> None:
    frame = pd.DataFrame({"x": range(50)})
    assert first_cut(frame, None, Span(rows=20)) == 20
    assert first_cut(frame.iloc[:19], None, Span(rows=20)) is None


def test_rows_far_from_the_stream_stray_and_a_stream_that_moves_does_not() -> None:
    def found(times: list[datetime]) -> list[int]:
        return list(np.flatnonzero(strays(pd.Series(times, dtype="datetime64[ns]"))))

    times = hourly(100)
    assert found(times) == []
    assert found([*times[:50], *hourly(50, BEGIN + timedelta(days=900))]) == []
    for at, far in ((0, 900 * DAY), (40, -900 * DAY), (99, 9 * DAY)):
        assert found([*times[:at], times[at] + far, *times[at + 1 :]]) == [at]
    assert found([*times[:40], times[0], *times[41:]]) == []  # late, though not far
