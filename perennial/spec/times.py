"""How a column writes its times, and one value of it read."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, field_validator

ISO = "iso"
SECONDS = "seconds"
MILLISECONDS = "milliseconds"
_EPOCH = datetime(1970, 1, 1)
_UNITS = {SECONDS: 1.0, MILLISECONDS: 1e-3}
_EARLIEST, _LATEST = datetime(1678, 1, 1), datetime(2262, 1, 1)
"""What a pandas timestamp of nanoseconds can hold."""


class TimeFormat(BaseModel):
    """The one format of a time column.

    ``format`` is ``iso`` (ISO 8601, with or without an offset), ``seconds`` or ``milliseconds``
    since 1970 UTC, or a pattern as Python's `datetime.strptime` takes it, such as ``%d.%m.%Y``.
    ``timezone`` is the IANA name of the zone in which times without an offset stand.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = ISO
    timezone: str = "UTC"

    @field_validator("format")
    @classmethod
    def _is_a_format(cls, value: str) -> str:
        return check_time_format(value)

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        return check_timezone(value)

    def read(self, value: object) -> datetime:
        """Read one value as a time of UTC, without an offset.

        ISO 8601 is understood beside any other format.

        Raises:
            ValueError: it is no time in this format, or lies outside the years 1678 to 2261.
        """
        if isinstance(value, datetime):
            return _within(self._to_utc(value), value)
        if self.format in _UNITS and not _is_iso(value):
            return _within(_from_number(value, _UNITS[self.format]), value)
        if isinstance(value, int) and not isinstance(value, bool) and self.format != ISO:
            return _within(self._to_utc(self._parse(str(value))), value)  # 20260131 of %Y%m%d
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is no time: write {self.example}")
        return _within(self._to_utc(self._parse(value.strip())), value)

    @property
    def example(self) -> str:
        """A moment as this format writes it, for messages."""
        moment = datetime(2026, 1, 31, 14, 30)
        if self.format in _UNITS:
            return f"{self.format} since 1970 such as {_count(moment) / _UNITS[self.format]:.0f}"
        if self.format == ISO:
            return moment.isoformat()
        return moment.replace(tzinfo=UTC).strftime(self.format)

    def _parse(self, text: str) -> datetime:
        if self.format != ISO:
            try:
                return datetime.strptime(text, self.format)
            except ValueError:
                pass
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is no time: write {self.example}") from None

    def _to_utc(self, moment: datetime) -> datetime:
        if moment.tzinfo is None:
            if self.timezone == "UTC":
                return moment
            moment = moment.replace(tzinfo=ZoneInfo(self.timezone))
        try:
            return moment.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            raise ValueError(f"{moment.isoformat()} is out of range") from None


def check_time_format(value: str) -> str:
    """Give a format back as it may stand in a declaration.

    Raises:
        ValueError: it is none of the three names and no pattern that tells year and month.
    """
    if value in (ISO, *_UNITS):
        return value
    moments = [datetime(y, m, 1, tzinfo=UTC) for y, m in ((2026, 1), (2025, 1), (2026, 2))]
    try:
        read = [datetime.strptime(m.strftime(value), value) for m in moments]
    except ValueError:
        read = []
    whole = [moment.replace(tzinfo=UTC) for moment in read]
    if "%" not in value or whole != moments:
        raise ValueError(
            "write iso, seconds, milliseconds, or a pattern with year and month such as "
            "'%d.%m.%Y %H:%M'"
        )
    return value


def check_timezone(value: str) -> str:
    """Give the name of a time zone back.

    Raises:
        ValueError: there is no such zone.
    """
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("write a time zone's name such as UTC or Europe/Berlin") from None
    return value


def _is_iso(value: object) -> bool:
    """A text with a date in it, where numbers are usual."""
    return isinstance(value, str) and value.count("-") >= 2 and ":" in value


def _count(moment: datetime) -> float:
    return (moment - _EPOCH).total_seconds()


def _from_number(value: object, unit: float) -> datetime:
    try:
        seconds = float(value) * unit  # type: ignore[arg-type]
        if isinstance(value, bool) or not math.isfinite(seconds):
            raise ValueError
        return _EPOCH + timedelta(seconds=seconds)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is no time: write a number") from None


def _within(moment: datetime, value: object) -> datetime:
    if not _EARLIEST <= moment < _LATEST:
        raise ValueError(f"{value!r} is no time between the years 1678 and 2261")
    return moment
