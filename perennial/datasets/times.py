"""The one format of a time column, found from all its rows, and the column read by it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.datasets.time_patterns import ISO_TEXT, OFFSET, formats_like
from perennial.errors import SourceError
from perennial.spec.times import MILLISECONDS, SECONDS, TimeFormat

_MOST_NS = 9.2e18
"""Nanoseconds since 1970 that an int64 holds."""
_UNITS = {SECONDS: "s", MILLISECONDS: "ms"}
_SHAPES = 300
"""Looks of values that are tried, the commonest first: what is rarer is no format."""
_CLEAR = 30
"""Different times that a column must have for the order of its rows to say anything."""
_TRACE = 0.01
"""From this share of rows on that only another format reads, others are likely misread too."""


def read_times(column: pd.Series, format: TimeFormat) -> pd.Series:
    """Read a column as `TimeFormat.read` reads each value.

    Returns:
        Times of UTC without an offset as datetime64[ns]; NaT for what is missing or unreadable.
    """
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _naive(_within(column), format)
    if pd.api.types.is_numeric_dtype(column.dtype) and format.format in _UNITS:
        return _count(column, format)
    codes, values = pd.factorize(column)
    read = _read_texts(pd.Series([_text(value) for value in values], dtype=object), format)
    filled = np.append(read.to_numpy(), np.datetime64("NaT", "ns"))
    return pd.Series(filled[codes], index=column.index, name=column.name)


def find_time_format(
    column: pd.Series,
    *,
    declared: str | None,
    timezone: str,
    where: str,
    share: float = 0.05,
) -> TimeFormat:
    """Find the format that reads a whole column, or hold the declared one against it.

    Where days and months can be told apart only by the order of the rows, that order decides if it
    is clear; dates with dots are taken for day.month.year.

    Args:
        declared: ``time_format`` of the declaration; None: to be found.
        timezone: zone of times without an offset.
        where: names the column in messages.
        share: of the values that may be unreadable.

    Raises:
        SourceError: no format reads the column, two formats stand in it, or it can be read in two
            ways; shows two rows and says what to write.
    """
    present = column[column.notna()]
    if present.empty:
        raise SourceError(f"{where}: there is no time in any row")
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return TimeFormat(timezone=timezone)
    found = _Column(present, timezone, where)
    if declared is not None:
        chosen = TimeFormat(format=declared, timezone=timezone)
        found.check(chosen, share, f"time_format {declared!r}")
        return chosen
    return found.decide(share)


class _Column:
    """The different values of a column, and what each format makes of them."""

    def __init__(self, present: pd.Series, timezone: str, where: str) -> None:
        self._timezone, self._where = timezone, where
        self._codes, values = pd.factorize(present)
        self._texts = pd.Series([_text(value) for value in values], dtype=object)
        self._counts = np.bincount(self._codes, minlength=len(values))
        self._rows = present.index.to_numpy()
        self._reads: dict[str, NDArray[Any]] = {}
        for name in self._candidates():
            read = self._plausible(name)
            if not np.isnat(read).all():
                self._reads[name] = read

    def decide(self, share: float) -> TimeFormat:
        """The format of the column."""
        ranked = sorted(self._reads, key=lambda name: -self._weight(~np.isnat(self._reads[name])))
        if not ranked:
            self._refuse(np.ones(len(self._texts), dtype=bool), "a time")
        best = ranked[0]
        for other in ranked[1:]:
            best = self._settle(best, other)
        unread = np.isnat(self._reads[best])
        if self._weight(unread) > share * len(self._codes):
            for other in ranked:
                alone = unread & ~np.isnat(self._reads[other])
                if self._weight(alone) > self._weight(unread) / 2:
                    self._two(best, other, ~unread, alone)
            self._refuse(unread, f"a time such as {TimeFormat(format=best).example} ({best})")
        return TimeFormat(format=best, timezone=self._timezone)

    def check(self, format: TimeFormat, share: float, name: str) -> None:
        """Refuse a declared format that does not read nearly all values."""
        unread = _read_texts(self._texts, format).isna().to_numpy()
        if self._weight(unread) > share * len(self._codes):
            self._refuse(unread, f"a time by {name}, such as {format.example}")

    def _candidates(self) -> list[str]:
        looks = self._texts.str.replace(r"\d", "9", regex=True)
        looks = looks.str.replace(r"[^\W\d_]", "a", regex=True)
        shapes = pd.DataFrame({"shape": looks, "rows": self._counts, "text": self._texts})
        weights = shapes.groupby("shape", sort=False)["rows"].sum()
        common = weights.sort_values(ascending=False, kind="stable").index[:_SHAPES]
        first = shapes.drop_duplicates("shape").set_index("shape")["text"]
        found = [name for shape in common for name in formats_like(first[shape], self._timezone)]
        return list(dict.fromkeys(found))

    def _plausible(self, name: str) -> NDArray[Any]:
        """What a format makes of each value; numbers are times of this age alone."""
        read = _read_texts(
            self._texts, TimeFormat(format=name, timezone=self._timezone), alone=True
        )
        if name in _UNITS:
            read = read.where(read.dt.year.between(1980, 2100))
        elif name.startswith("%Y%m"):
            read = read.where(read.dt.year.between(1900, 2100))
        times: NDArray[Any] = read.to_numpy()
        return times

    def _weight(self, chosen: NDArray[np.bool_]) -> int:
        return int(self._counts[chosen].sum())

    def _settle(self, best: str, other: str) -> str:
        """Which of two formats it is, where they give some rows different times."""
        mine, its = self._reads[best], self._reads[other]
        both = ~np.isnat(mine) & ~np.isnat(its)
        differ = both & (mine != its)
        if not differ.any():
            return best
        only_mine = self._weight(~np.isnat(mine) & ~both)
        alone = ~np.isnat(its) & ~both
        only_its = self._weight(alone)
        if only_its and (only_its >= _TRACE * len(self._codes) or 10 * only_its > only_mine):
            self._two(best, other, ~np.isnat(mine) & ~both, alone)
        if only_mine:
            return best
        if (chosen := self._by_order(best, other) or _by_custom(best, other)) is not None:
            return chosen
        shown = [self._row(place) for place in np.flatnonzero(differ)[:2]]
        readings = "; ".join(
            f"{text!r} in row {row} is {_say(mine[place])} or {_say(its[place])}"
            for row, text, place in shown
        )
        raise SourceError(
            f"{self._where}: its times can be read in two ways: {readings}; write time_format: "
            f"{best!r} for the first or time_format: {other!r} for the second"
        )

    def _by_order(self, best: str, other: str) -> str | None:
        """The format that puts the rows in order, if it is clear that the other does not.

        Rows sorted as text look as if they were in time order by the wrong format.
        """
        texts = self._texts.to_numpy()[self._codes]
        if len(self._texts) < _CLEAR or bool((texts[1:] >= texts[:-1]).all()):
            return None
        orders = {name: _disorder(self._reads[name][self._codes]) for name in (best, other)}
        for name, rival in ((best, other), (other, best)):
            if orders[name] == 0.0 and orders[rival] > 0.05:
                return name
        return None

    def _row(self, place: int) -> tuple[object, str, int]:
        row = self._rows[int((self._codes == place).argmax())]
        return row, str(self._texts[place]), place

    def _two(
        self, best: str, other: str, its: NDArray[np.bool_], others: NDArray[np.bool_]
    ) -> None:
        rows = [self._row(int(chosen.argmax())) for chosen in (its, others)]
        shown = [
            f"{text!r} in row {row} is {name}"
            for (row, text, _), name in zip(rows, (best, other), strict=True)
        ]
        raise SourceError(
            f"{self._where}: two formats stand in one column: {', '.join(shown)}; "
            "write all its times in one format"
        )

    def _refuse(self, unread: NDArray[np.bool_], what: str) -> None:
        shown = [self._row(place) for place in np.flatnonzero(unread)[:2]]
        values = " and ".join(f"{_short(text)!r} in row {row}" for row, text, _ in shown)
        count = self._weight(unread)
        raise SourceError(
            f"{self._where}: {count:,} of {len(self._codes):,} values are not {what}: {values}; "
            "mend them, or write time_format as the column stands: iso, seconds, milliseconds, or "
            "a pattern such as '%d.%m.%Y %H:%M'"
        )


def _by_custom(*names: str) -> str | None:
    """Dates with dots are written with the day first wherever they are written so."""
    dotted = [name for name in names if name.startswith("%d.%m.")]
    return dotted[0] if len(dotted) == 1 else None


def _disorder(times: NDArray[Any]) -> float:
    """Share of steps against the main direction: 0 where rows ascend, or descend, throughout."""
    steps = np.diff(times[~np.isnat(times)].astype("int64"))
    moves = steps[steps != 0]
    return min(float((moves < 0).mean()), float((moves > 0).mean())) if len(moves) else 1.0


def _say(moment: Any) -> str:
    return str(pd.Timestamp(moment)).removesuffix(" 00:00:00")


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


def _text(value: object) -> str:
    """A value as it would be written; a time as ISO 8601."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _count(column: pd.Series, format: TimeFormat) -> pd.Series:
    """Numbers since 1970 as times."""
    scale = 10**9 if _UNITS[format.format] == "s" else 10**6
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        read = np.abs(numbers) < _MOST_NS / scale
    # pandas casts missing numbers from memory that nobody has written, and may fail of it.
    whole = np.floor(np.where(read, numbers, 0.0))
    rest = np.round((np.where(read, numbers, 0.0) - whole) * scale)
    times = (whole.astype(np.int64) * scale + rest.astype(np.int64)).astype("datetime64[ns]")
    times[~read] = np.datetime64("NaT")
    return _ns(_within(pd.Series(times, column.index)))


def _read_texts(texts: pd.Series, format: TimeFormat, *, alone: bool = False) -> pd.Series:
    """Read texts by a format; unless ``alone``, ISO 8601 beside any pattern."""
    if format.format in _UNITS:
        return _count(texts, format)
    if format.format == "iso":
        return _read_iso(texts, format)
    aware = "%z" in format.format
    read = pd.to_datetime(texts, format=format.format, errors="coerce", utc=aware)
    read = _naive(_within(read), format)
    missing = read.isna()
    if alone or not missing.any():
        return read
    return read.where(~missing, _read_iso(texts.where(missing), format))


def _read_iso(texts: pd.Series, format: TimeFormat) -> pd.Series:
    local = texts.str.fullmatch(ISO_TEXT, na=False).astype(bool)
    placed = texts.str.fullmatch(f"(?:{ISO_TEXT}){OFFSET}", na=False).astype(bool)
    utc = format.model_copy(update={"timezone": "UTC"})
    parts = []
    for chosen, how in ((local, format), (placed, utc)):
        some = texts[chosen].str.replace(",", ".", regex=False)
        read = pd.to_datetime(some, format="ISO8601", errors="coerce", utc=True)
        parts.append(_naive(_within(read).dt.tz_localize(None), how))
    return pd.concat(parts).reindex(texts.index)


def _within(times: pd.Series) -> pd.Series:
    """Only what a timestamp of nanoseconds can hold."""
    return times.where(times.dt.year.between(1678, 2261))


def _naive(times: pd.Series, format: TimeFormat) -> pd.Series:
    """Times of UTC without an offset; hours that do not exist or exist twice as `datetime` has
    them."""
    if times.dt.tz is not None:
        return _ns(times.dt.tz_convert(UTC).dt.tz_localize(None))
    if format.timezone == "UTC":
        return _ns(times)
    placed = times.dt.tz_localize(format.timezone, ambiguous="NaT", nonexistent="NaT")
    read = _ns(placed.dt.tz_convert(UTC).dt.tz_localize(None))
    odd = read.isna() & times.notna()
    if not odd.any():
        return read
    mended = times[odd].map(_reader(format)).astype("datetime64[ns]")
    return read.where(~odd, mended.reindex(times.index))


def _reader(format: TimeFormat) -> Callable[[pd.Timestamp], datetime]:
    return lambda moment: format.read(moment.to_pydatetime())


def _ns(times: pd.Series) -> pd.Series:
    return times.astype("datetime64[ns]")
