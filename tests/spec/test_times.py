"""One format a column: values that fit are read as UTC, all others are refused in words."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from perennial.errors import SpecError
from perennial.spec import TimeFormat, parse_spec

NOON = datetime(2026, 2, 1, 12, 0)


@pytest.mark.parametrize(
    ("format_", "value"),
    [
        ("iso", "2026-02-01T12:00:00"),
        ("iso", "2026-02-01 12:00"),
        ("iso", "2026-02-01T14:00:00+02:00"),
        ("iso", "2026-02-01T12:00:00Z"),
        ("%d.%m.%Y %H:%M", "01.02.2026 12:00"),
        ("%d.%m.%Y %H:%M", "2026-02-01T12:00:00"),
        ("seconds", 1769947200),
        ("seconds", "1769947200"),
        ("milliseconds", 1769947200000.0),
        ("seconds", "2026-02-01 12:00:00"),
        ("iso", NOON),
        ("iso", datetime(2026, 2, 1, 14, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_value_in_the_columns_format_or_iso_is_read_as_utc(format_: str, value: object) -> None:
    assert TimeFormat(format=format_).read(value) == NOON


def test_a_time_without_offset_stands_in_the_declared_zone() -> None:
    berlin = TimeFormat(format="%d.%m.%Y %H:%M", timezone="Europe/Berlin")
    assert berlin.read("01.07.2026 14:00") == datetime(2026, 7, 1, 12)
    assert berlin.read("2026-07-01T14:00:00+00:00") == datetime(2026, 7, 1, 14)


@pytest.mark.parametrize(
    ("format_", "value"),
    [
        ("iso", "gestern"),
        ("iso", ""),
        ("iso", 5),
        ("iso", None),
        ("iso", True),
        ("iso", "9999-12-31T00:00:00"),
        ("iso", "0001-01-01T00:00:00+14:00"),
        ("%d.%m.%Y", "31.02.2026"),
        ("seconds", "soon"),
        ("seconds", float("nan")),
        ("seconds", 1e300),
        ("seconds", True),
        ("milliseconds", None),
    ],
)
def test_what_is_no_time_is_refused(format_: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"is no time|out of range"):
        TimeFormat(format=format_).read(value)


def test_the_refusal_shows_how_to_write_it() -> None:
    with pytest.raises(ValueError, match=r"'gestern' is no time: write 31\.01\.2026"):
        TimeFormat(format="%d.%m.%Y").read("gestern")


@pytest.mark.parametrize("wrong", ["dd.mm.yyyy", "%H:%M", "%d.%m", "%Y", "%Q-%m-%d", ""])
def test_a_format_tells_year_month_and_day(wrong: str) -> None:
    with pytest.raises(ValidationError, match="write iso, seconds, milliseconds"):
        TimeFormat(format=wrong)


def test_a_zone_has_to_exist() -> None:
    with pytest.raises(ValidationError, match="time zone"):
        TimeFormat(timezone="Mars/Olympus")


def test_a_declaration_refuses_what_is_no_format_and_a_format_without_a_column() -> None:
    least = {"name": "a", "task": "binary", "source": {"uri": "a.csv"}, "target": "y"}
    with pytest.raises(SpecError, match="time_format"):
        parse_spec({**least, "time": "t", "time_format": "dd.mm.yyyy"}, origin="here")
    with pytest.raises(SpecError, match="there is no time column"):
        parse_spec({**least, "time_format": "iso"}, origin="here")
    spec = parse_spec({**least, "time": "t", "time_format": "%d.%m.%Y"}, origin="here")
    assert spec.time_format == "%d.%m.%Y"
    assert TimeFormat(format="iso").read(NOON.replace(tzinfo=UTC)) == NOON
