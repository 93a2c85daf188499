"""A time column has one format, told from all its rows; what cannot be told is shown in two."""

import pandas as pd
import pytest

from perennial.datasets.times import find_time_format, read_times
from perennial.errors import SourceError
from perennial.spec import TimeFormat

DAYS = pd.date_range("2024-01-01", periods=100)
MONTHS = pd.date_range("2020-01-01", periods=40, freq="MS")


def find(values, *, declared=None, timezone="UTC"):
    column = pd.Series(values)
    return find_time_format(column, declared=declared, timezone=timezone, where="time: ts").format


def refusal(values, **more):
    with pytest.raises(SourceError) as caught:
        find(values, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        "%d.%m.%Y",
        "%d.%m.%Y %H:%M",
        "%m/%d/%Y",
        "%d/%m/%Y %H:%M:%S",
        "%Y/%m/%d",
        "%d-%m-%Y",
        "%d.%m.%y",
        "%m/%d/%y %I:%M %p",
        "%d %b %Y",
        "%d-%b-%y",
        "%d%b%Y",
        "%B %d, %Y",
        "%a, %d %b %Y %H:%M:%S %z",
        "%Y-%m-%d %H:%M:%S UTC",
        "%Y%m%d",
        "%Y%m%d%H%M",
    ],
)
def test_a_hundred_days_tell_their_format(written):
    texts = DAYS.tz_localize("UTC").strftime(written)
    assert find(texts) == written
    assert list(read_times(pd.Series(texts), TimeFormat(format=written))) == list(DAYS)


@pytest.mark.parametrize("written", ["%Y-%m", "%m/%Y", "%b %Y", "%Y%m"])
def test_months_are_times_of_their_first_day(written):
    texts = MONTHS.strftime(written)
    assert find(texts) == written
    assert list(read_times(pd.Series(texts), TimeFormat(format=written))) == list(MONTHS)


@pytest.mark.parametrize(
    "texts",
    [
        DAYS.strftime("%Y-%m-%d"),
        DAYS.strftime("%Y-%m-%dT%H:%M:%S"),
        DAYS.strftime("%Y-%m-%d %H:%M:%S.%f"),
        DAYS.strftime("%Y-%m-%dT%H:%M:%SZ"),
        DAYS.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
        [*DAYS[:50].strftime("%Y-%m-%d"), *DAYS[50:].strftime("%Y-%m-%d %H:%M")],
        list(DAYS.date),
    ],
)
def test_iso_is_found_in_all_its_forms(texts):
    assert find(texts) == "iso"
    assert list(read_times(pd.Series(texts), TimeFormat())) == list(DAYS)


def test_numbers_are_told_by_their_size():
    seconds = pd.Series(DAYS.astype("datetime64[ns]").astype("int64") // 10**9)
    assert find(seconds) == "seconds"
    assert find(seconds.astype(float) * 1000) == "milliseconds"
    assert find(seconds.astype(str)) == "seconds"
    assert find(DAYS.strftime("%Y%m%d").astype(int)) == "%Y%m%d"
    assert list(read_times(seconds, TimeFormat(format="seconds"))) == list(DAYS)
    days = pd.Series(DAYS.strftime("%Y%m%d").astype(int)).astype(float)
    assert list(read_times(days, TimeFormat(format="%Y%m%d"))) == list(DAYS)
    assert "3 of 3 values are not a time: 2019" in refusal([2019, 2020, 2021]).replace("'", "")


def test_one_day_beyond_twelve_tells_day_from_month():
    assert find(["01/02/2024", "03/04/2024", "13/04/2024"]) == "%d/%m/%Y"
    assert find(["01/02/2024", "03/04/2024", "04/13/2024"]) == "%m/%d/%Y"


def test_what_nothing_tells_is_an_error_that_shows_two_rows_with_both_readings():
    told = refusal(["01/02/2024", "03/04/2024"])
    assert "'01/02/2024' in row 0 is 2024-02-01 or 2024-01-02" in told
    assert "'03/04/2024' in row 1 is 2024-04-03 or 2024-03-04" in told
    assert "time_format: '%d/%m/%Y'" in told
    assert "time_format: '%m/%d/%Y'" in told


def test_dates_with_dots_have_the_day_first():
    assert find(["01.02.2024", "03.04.2024"]) == "%d.%m.%Y"
    assert find(["01.02.2024", "01.13.2024"]) == "%m.%d.%Y"


def test_the_order_of_the_rows_tells_where_only_one_reading_ascends():
    first_days = [day for day in pd.date_range("2020-01-01", "2021-12-31") if day.day <= 12]
    assert find([f"{day:%d/%m/%Y}" for day in first_days]) == "%d/%m/%Y"
    assert find([f"{day:%m/%d/%Y}" for day in first_days[::-1]]) == "%m/%d/%Y"
    in_order_by_both = [f"{month:%d/%m/%Y}" for month in MONTHS]
    assert "two ways" in refusal(in_order_by_both)


def test_rows_sorted_as_text_say_nothing_by_their_order():
    days = [day for day in pd.date_range("2020-01-01", "2020-12-31") if day.day <= 12]
    assert "two ways" in refusal(sorted(f"{day:%d/%m/%Y}" for day in days))


@pytest.mark.parametrize(
    ("one", "other"), [("%d/%m/%Y", "%m/%d/%Y"), ("%d.%m.%Y", "%Y-%m-%d"), ("%Y-%m-%d", "%d %b %Y")]
)
def test_two_formats_in_one_column_are_named_with_a_row_of_each(one, other):
    told = refusal([*DAYS.strftime(one), *DAYS.strftime(other)])
    assert "two formats stand in one column" in told
    assert all(name.replace("%Y-%m-%d", "iso") in told for name in (one, other))


def test_a_trace_of_the_other_order_is_not_read_over():
    texts = [*DAYS.strftime("%d/%m/%Y"), *DAYS[:20].strftime("%m/%d/%Y")]
    assert "two formats" in refusal(texts)


def test_a_few_values_that_are_no_time_are_left_unread():
    texts = [*DAYS.strftime("%d.%m.%Y"), "gestern", "31.02.2024", None]
    assert find(texts) == "%d.%m.%Y"
    read = read_times(pd.Series(texts), TimeFormat(format="%d.%m.%Y"))
    assert list(read[:100]) == list(DAYS)
    assert read[100:].isna().all()


def test_many_are_an_error_that_shows_two_of_them():
    told = refusal([*DAYS.strftime("%d.%m.%Y"), *[f"soon {n}" for n in range(9)]])
    assert "9 of 109 values" in told
    assert "'soon 0' in row 100 and 'soon 1' in row 101" in told


def test_a_declared_format_is_held_against_the_column():
    assert find(["01/02/2024", "03/04/2024"], declared="%m/%d/%Y") == "%m/%d/%Y"
    assert find([5, 6], declared="seconds") == "seconds"
    told = refusal(DAYS.strftime("%d.%m.%Y"), declared="%m/%d/%Y")
    assert "not a time by time_format '%m/%d/%Y', such as 01/31/2026" in told


def test_a_column_without_a_value_has_no_format():
    assert "no time in any row" in refusal([None, None])


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_hours_that_the_clock_skips_or_repeats_are_read_as_python_reads_them(zone):
    hours = pd.date_range("2024-01-01", "2025-01-01", freq="30min").strftime("%d.%m.%Y %H:%M")
    format_ = TimeFormat(format="%d.%m.%Y %H:%M", timezone=zone)
    assert list(read_times(pd.Series(hours), format_)) == [format_.read(text) for text in hours]


@pytest.mark.parametrize(
    ("format_", "value"),
    [
        ("iso", "2024-02-01T12:00:00+02:00"),
        ("iso", "2024-02-01 12:00 "),
        ("iso", "20240201T1200"),
        ("iso", "1500-01-01"),
        ("iso", "gestern"),
        ("%d.%m.%Y", "2024-02-01T12:00Z"),
        ("%d.%m.%Y", "1.2.2024"),
        ("%d.%m.%Y", "01.02.9999"),
        ("%d.%m.%Y", "01.02.2024 12:00"),
        ("%Y%m%d", 20240201),
        ("seconds", "1.7e9"),
        ("seconds", 1e300),
        ("milliseconds", float("inf")),
        ("%d/%m/%Y %H:%M:%S %z", "01/02/2024 12:00:00 -0500"),
    ],
)
def test_a_column_is_read_as_a_request_is(format_, value):
    format_ = TimeFormat(format=format_, timezone="Europe/Berlin")
    column = pd.Series([value], dtype=object)
    try:
        expected = format_.read(value)
    except ValueError:
        assert read_times(column, format_).isna().all()
    else:
        assert list(read_times(column, format_)) == [expected]


def test_times_of_parquet_are_taken_as_they_stand_or_in_the_declared_zone():
    berlin = TimeFormat(timezone="Europe/Berlin")
    aware = pd.Series(DAYS.tz_localize("Europe/Berlin"))
    naive = pd.Series(DAYS)
    assert list(read_times(aware, berlin)) == list(read_times(naive, berlin))
    assert read_times(naive, berlin)[0] == pd.Timestamp("2023-12-31 23:00")
    assert find(aware) == find(naive) == "iso"
