"""The formats that a written time may stand in, told from its looks alone."""

from __future__ import annotations

import re
from itertools import product

from perennial.spec.times import ISO, MILLISECONDS, SECONDS

ISO_TEXT = (
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)?"
    r"|\d{8}T\d{4}(?:\d{2})?|\d{4}-\d{2}-\d{2}[T ]\d{2}"
)
"""ISO 8601 without an offset, as a regular expression."""
OFFSET = r" ?(?:Z|[+-]\d{2}(?::?\d{2})?)"
"""What may follow a clock in ISO 8601."""

_CLOCK = re.compile(
    r"(?P<join>T|,? +)(?P<hour>\d{1,2}):\d{2}(?P<seconds>:\d{2}(?P<fraction>[.]\d{1,9})?)?"
    rf"(?:(?P<gap> ?)(?P<half>[AaPp][Mm]))?(?P<zone>{OFFSET}| UTC| GMT)?$"
)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = re.compile(r"(?P<name>[A-Za-z]{3,9})(?P<gap>,? +)")
_SEPARATOR = r"(?P<s>[./\- ])"
_WORD = r"[A-Za-z]{3,9}"
_DATES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (rf"\d{{4}}{_SEPARATOR}\d{{1,2}}(?P=s)\d{{1,2}}", ("%Y{s}%m{s}%d",)),
    (rf"\d{{1,2}}{_SEPARATOR}\d{{1,2}}(?P=s)\d{{4}}", ("%d{s}%m{s}%Y", "%m{s}%d{s}%Y")),
    (
        rf"\d{{1,2}}{_SEPARATOR}\d{{1,2}}(?P=s)\d{{2}}",
        ("%d{s}%m{s}%y", "%m{s}%d{s}%y", "%y{s}%m{s}%d"),
    ),
    (rf"\d{{1,2}}{_SEPARATOR}?{_WORD}(?(s)(?P=s))\d{{4}}", ("%d{s}{b}{s}%Y",)),
    (rf"\d{{1,2}}{_SEPARATOR}?{_WORD}(?(s)(?P=s))\d{{2}}", ("%d{s}{b}{s}%y",)),
    (rf"\d{{4}}{_SEPARATOR}?{_WORD}(?(s)(?P=s))\d{{1,2}}", ("%Y{s}{b}{s}%d",)),
    (rf"{_WORD} \d{{1,2}},? \d{{4}}", ("{b} %d{comma} %Y",)),
    (rf"{_WORD}{_SEPARATOR}\d{{4}}", ("{b}{s}%Y",)),
    (rf"{_WORD}{_SEPARATOR}\d{{2}}", ("{b}{s}%y",)),
    (rf"\d{{4}}{_SEPARATOR}{_WORD}", ("%Y{s}{b}",)),
    (rf"\d{{4}}{_SEPARATOR}\d{{1,2}}", ("%Y{s}%m",)),
    (rf"\d{{1,2}}{_SEPARATOR}\d{{4}}", ("%m{s}%Y",)),
)
_DATES_READ = tuple((re.compile(looks), formats) for looks, formats in _DATES)
_DIGITS = {6: "%Y%m", 8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_ISO = re.compile(rf"(?:{ISO_TEXT})(?:{OFFSET})?")


def formats_like(text: str, timezone: str) -> list[str]:
    """Name the formats, as `TimeFormat.format`, that a text may be written in; none if it is no
    time.

    Args:
        timezone: zone of times without an offset; a time that says UTC itself fits no other.
    """
    if _ISO.fullmatch(text):
        return [ISO]
    if _NUMBER.fullmatch(text):
        compact = [_DIGITS[len(text)]] if text.isdigit() and len(text) in _DIGITS else []
        return [SECONDS, MILLISECONDS, *compact, *_date_formats(text)]
    clock = _CLOCK.search(text)
    date = text if clock is None else text[: clock.start()]
    tail = "" if clock is None else _clock_format(clock, timezone)
    if tail is None:
        return []
    day, date = _weekday(date)
    return [f"{day}{format_}{tail}" for format_ in _date_formats(date)]


def _clock_format(clock: re.Match[str], timezone: str) -> str | None:
    hour = "%H" if clock["half"] is None else "%I"
    seconds = "" if clock["seconds"] is None else ":%S" + (".%f" if clock["fraction"] else "")
    half = "" if clock["half"] is None else f"{clock['gap']}%p"
    zone = clock["zone"] or ""
    if zone in (" UTC", " GMT"):
        if timezone != "UTC":
            return None
    elif zone:
        zone = " %z" if zone.startswith(" ") else "%z"
    join = re.sub(" +", " ", clock["join"])
    return f"{join}{hour}:%M{seconds}{half}{zone}"


def _weekday(date: str) -> tuple[str, str]:
    """Take the name of a weekday off the front of a date."""
    found = _WEEKDAY.match(date)
    if found is None or found["name"][:3].lower() not in _WEEKDAYS:
        return "", date
    short = "%a" if len(found["name"]) == 3 else "%A"
    return short + re.sub(" +", " ", found["gap"]), date[found.end() :]


def _date_formats(date: str) -> list[str]:
    names = ("%b", "%B")
    for looks, formats in _DATES_READ:
        found = looks.fullmatch(date)
        if found is not None:
            groups = found.groupdict()
            parts = {"s": groups.get("s") or "", "comma": "," if "," in date else ""}
            made = [f.format(b=name, **parts) for f, name in product(formats, names)]
            return list(dict.fromkeys(made))
    return []
