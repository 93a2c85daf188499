"""Windows are told by their number and their dates."""

from __future__ import annotations

from datetime import datetime

import pandas as pd
import pytest

from perennial.datasets.dates import Dates, dates_of, in_words
from perennial.spec import TimeFormat
from perennial.store.layout import several_windows, window_name, window_number


def dates(first: str, last: str) -> Dates:
    return Dates(first=datetime.fromisoformat(first), last=datetime.fromisoformat(last))


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        ("2026-03-03", "2026-03-14", "3 Mar - 14 Mar 2026"),
        ("2026-03-03T09:00", "2026-03-14T23:30", "3 Mar - 14 Mar 2026"),
        ("2025-12-28", "2026-01-04", "28 Dec 2025 - 4 Jan 2026"),
        ("2026-03-03", "2026-03-03", "3 Mar 2026"),
        ("2026-03-03", "2026-03-04", "3 Mar - 4 Mar 2026"),
        ("2026-03-03T09:05", "2026-03-03T14:30", "3 Mar 2026 09:05 - 14:30 UTC"),
        ("2026-03-03T09:05:10", "2026-03-03T09:05:40", "3 Mar 2026 09:05 UTC"),
        ("2026-03-03T22:00", "2026-03-04T02:00", "3 Mar 2026 22:00 - 4 Mar 02:00 UTC"),
    ],
)
def test_dates_are_written_as_people_write_them(first: str, last: str, text: str) -> None:
    assert str(dates(first, last)) == text


def test_a_window_is_told_with_its_dates() -> None:
    assert in_words("w000031") == "window 31"
    march = dates("2026-03-03", "2026-03-14")
    assert in_words("w000031", march) == "window 31 (3 Mar - 14 Mar 2026)"


def test_several_windows_are_told_from_the_first_to_the_last() -> None:
    known = {
        "w000003": dates("2026-03-03", "2026-03-04"),
        "w000005": dates("2026-03-07", "2026-03-09"),
    }
    name = several_windows("w000003", "w000005")
    assert in_words(name, known) == "windows 3 to 5 (3 Mar - 9 Mar 2026)"
    assert in_words(name, {"w000003": known["w000003"]}) == "windows 3 to 5"
    assert several_windows("w000003", "w000003") == "w000003"


def test_names_sort_as_their_numbers_and_give_them_back() -> None:
    names = [window_name(number) for number in (2, 10, 100)]
    assert names == sorted(names)
    assert [window_number(name) for name in names] == [2, 10, 100]


def test_the_time_of_the_event_goes_before_that_of_the_request() -> None:
    frame = pd.DataFrame(
        {"day": ["03.02.2026", "01.02.2026"], "_time": pd.to_datetime(["2026-05-01"] * 2, utc=True)}
    )
    found = dates_of(frame, "day", TimeFormat(format="%d.%m.%Y"))
    assert str(found) == "1 Feb - 3 Feb 2026"
    assert str(dates_of(frame, None)) == "1 May 2026"


def test_values_that_are_no_time_are_passed_over() -> None:
    frame = pd.DataFrame({"day": ["2026-02-01", None, "gestern", float("nan"), "2026-02-03"]})
    assert str(dates_of(frame, "day")) == "1 Feb - 3 Feb 2026"


def test_rows_without_any_time_have_no_dates() -> None:
    assert dates_of(pd.DataFrame({"day": ["gestern"]}), "day") is None
    assert dates_of(pd.DataFrame({"x": [1.0]}), None) is None


def test_the_sources_times_are_read_as_they_are() -> None:
    frame = pd.DataFrame({"ts": pd.to_datetime(["2026-02-01 10:00", None, "2026-02-01 12:00"])})
    assert str(dates_of(frame, "ts")) == "1 Feb 2026 10:00 - 12:00 UTC"
