"""What speaks for a broken pipe in the rows: how many, how often, and when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from perennial.validation.cause import Cause
from perennial.validation.past import Slice, Values, worst

_OVERTAKING = 60.0
"""Seconds by which requests of several clients overtake one another: no clock is wrong for that."""
_NEAR = 0.1
"""Of a window's span: where rows come in fast motion, they overtake one another by more."""
_DAY = 86_400.0
_PERIODS = {_DAY: "time of day", 7 * _DAY: "day of the week"}
_BINS = 48
"""Half hours of the day."""
_CLOCK, _NO_CLOCK = 0.9, 0.5
"""Share of a column's variance by which it tells the time, and by which it does not."""


def missing_columns(past: Sequence[Slice], now: Slice) -> Iterator[Cause]:
    """Features that did not come."""
    absent = tuple(name for name in past[-1].columns if name not in now.columns)
    if absent:
        yield Cause(kind="missing_column", columns=absent, detail="not in the window")


def usual_repeats(past: Sequence[Slice]) -> float:
    """The largest share of a past window's rows that were there before."""
    known = np.empty(0, dtype=np.uint64)
    shares = []
    for window in past:
        shares.append(_repeated(window.hashes, known))
        known = np.union1d(known, window.hashes)
    return worst(shares)


def duplicated(past: Sequence[Slice], usual: float, now: Slice) -> Iterator[Cause]:
    """More rows than ever that are, in every field, one that was there before."""
    share = _repeated(now.hashes, np.concatenate([p.hashes for p in past]))
    if share > 1.5 * usual + 0.05:
        yield Cause(
            kind="duplicated_rows",
            detail=f"{share:.0%} of the rows were there before, {usual:.0%} at most in the past",
        )


def _repeated(rows: NDArray[np.uint64], known: NDArray[np.uint64]) -> float:
    fresh = np.unique(rows)
    fresh = fresh[~np.isin(fresh, known)]
    return 1 - len(fresh) / len(rows) if len(rows) else 0.0


def truncated(past: Sequence[Slice], now: Slice) -> Iterator[Cause]:
    """Far fewer rows than ever, or a hole in time."""
    counts = np.array([len(p) for p in past])
    middle, least = float(np.median(counts)), float(counts.min())
    enough = min(least - (middle - least), 0.9 * middle)
    if len(now) < enough:
        yield Cause(
            kind="truncated_rows",
            detail=f"{len(now):,} rows, {least:,.0f} at least in the past",
        )
    gaps = [_largest_gap(p.times) for p in past]
    gap, usual = _largest_gap(now.times), worst(gaps)
    span = float(np.median([_span(p.times) for p in past]))
    if gap > 2 * usual and gap > 0.2 * span > 0:
        yield Cause(
            kind="truncated_rows",
            detail=f"no row for {_words(gap)}, {_words(usual)} at most in the past",
        )


def _largest_gap(times: Values | None) -> float:
    known = _known(times)
    return float(np.diff(np.sort(known)).max()) if len(known) > 1 else 0.0


def _span(times: Values | None) -> float:
    known = _known(times)
    return float(known.max() - known.min()) if len(known) else 0.0


def _known(times: Values | None) -> Values:
    return np.empty(0) if times is None else times[~np.isnan(times)]


def _words(seconds: float) -> str:
    for unit, size in (("days", _DAY), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def skewed(
    past: Sequence[Slice], rhythms: Sequence[Rhythm], now: Slice, *, follows: bool
) -> Iterator[Cause]:
    """A clock that jumps, runs back, or no longer fits what else tells the time.

    Args:
        follows: whether the window comes right behind the last one of the past.
    """
    past = [p for p in past if len(_known(p.times)) > 1]
    if not past or len(_known(now.times)) < 2:
        return
    yield from _jump(past, now, follows)
    for period, words in _PERIODS.items():
        mine = [rhythm for rhythm in rhythms if rhythm.period == period]
        found = {rhythm.name: off for rhythm in mine if (off := rhythm.shift(now)) is not None}
        # A clock that is wrong is wrong for every column; a column that alone is off is not the
        # clock's fault.
        is_clock = len(found) > len(mine) / 2
        for name, off in found.items():
            way = "later" if off > 0 else "earlier"
            yield Cause(
                kind="clock_skew" if is_clock else "recoded_categories",
                columns=() if is_clock else (name,),
                detail=f"{name} follows the {words} {_words(abs(off))} {way} than before",
            )


def learn_rhythms(past: Sequence[Slice]) -> list[Rhythm]:
    """Find the columns that follow the time of day or the day of the week."""
    found = [Rhythm.of(past, name, period) for name in past[-1].columns for period in _PERIODS]
    return [rhythm for rhythm in found if rhythm is not None]


def exchanged(rhythms: Sequence[Rhythm], now: Slice) -> Iterator[Cause]:
    """Columns that told the time and do not any more, while another one does as they did."""
    told = {rhythm.name for rhythm in rhythms}
    for rhythm in rhythms:
        if rhythm.worst < _CLOCK or not rhythm.fit(now, rhythm.name) < _NO_CLOCK:
            continue
        for other in now.columns:
            if other not in told and rhythm.fit(now, other) >= rhythm.worst - (1 - _CLOCK):
                yield Cause(
                    kind="swapped_columns",
                    columns=(rhythm.name, other),
                    detail=f"{other} follows the time as {rhythm.name} has, which does not",
                )


def _jump(past: Sequence[Slice], now: Slice, follows: bool) -> Iterator[Cause]:
    """The step from the last window to this one, and steps back within it."""
    steps = [_start(b) - _end(a) for a, b in pairwise(past)]
    step = _start(now) - _end(past[-1])
    span = max(float(np.median([_span(p.times) for p in past])), 1.0)
    widest = max([*steps, *(_largest_gap(p.times) for p in past)])
    leaps = follows and step > max(2 * widest, 0.1 * span)
    if leaps or step < 1.5 * min([*steps, 0.0]) - 0.02 * span:
        way = "after" if step > 0 else "before"
        yield Cause(
            kind="clock_skew",
            detail=f"the window begins {_words(abs(step))} {way} the end of the last one",
        )
    slack = max(_OVERTAKING, _NEAR * span)
    falls, usual = _falls(now.times, slack), [_falls(p.times, slack) for p in past]
    if falls > 1.5 * worst(usual) + 0.005:
        yield Cause(
            kind="clock_skew",
            detail=f"time runs back by more than {_words(slack)} in {falls:.1%} of the rows",
        )


def _start(window: Slice) -> float:
    return float(np.quantile(_known(window.times), 0.005, method="lower"))


def _end(window: Slice) -> float:
    return float(np.quantile(_known(window.times), 0.995, method="higher"))


def _falls(times: Values | None, slack: float) -> float:
    """Share of the rows that lie more than ``slack`` seconds before their neighbour."""
    known = _known(times)
    return float((np.diff(known) < -slack).mean()) if len(known) > 1 else 0.0


@dataclass(frozen=True)
class Rhythm:
    """A column whose mean follows a period of time, and how well it did so in the past."""

    name: str
    period: float
    profile: Values
    """Mean of the column in each part of the period; NaN where it never was."""
    worst: float
    """The least share of the variance that it explained in a past window."""

    @classmethod
    def of(cls, past: Sequence[Slice], name: str, period: float) -> Rhythm | None:
        """Learn a rhythm, or None where the column has none worth the name."""
        bins = _BINS if period == _DAY else 7
        usable = [p for p in past if name in p.columns and len(_known(p.times)) > 1]
        places = [_bins(p.times, period, bins) for p in usable]
        values = [p.columns[name].values for p in usable]
        if len(usable) < 3:
            return None
        profile = _profile(np.concatenate(places), np.concatenate(values), bins)
        fits = [_explained(profile, a, b) for a, b in zip(places, values, strict=True)]
        known = [fit for fit in fits if np.isfinite(fit)]
        if len(known) < len(fits) / 2 or min(known, default=0.0) < 0.2:
            return None
        return cls(name, period, profile, min(known))

    def fit(self, now: Slice, name: str) -> float:
        """Share of the variance of a window's column that the profile explains, NaN for none."""
        if name not in now.columns:
            return float("nan")
        place = _bins(now.times, self.period, len(self.profile))
        return _explained(self.profile, place, now.columns[name].values)

    def shift(self, now: Slice) -> float | None:
        """By how many seconds the window's clock is off, or None where it is right.

        Tried on the window and on each of its halves, for a clock that was set while it lasted.
        """
        if self.name not in now.columns:
            return None
        bins = len(self.profile)
        place, values = _bins(now.times, self.period, bins), now.columns[self.name].values
        half = len(place) // 2
        for part in (slice(None), slice(0, half), slice(half, None)):
            found = self._best(place[part], values[part])
            if found:
                return found * self.period / bins
        return None

    def _best(self, place: NDArray[np.intp], values: Values) -> int | None:
        bins = len(self.profile)
        fits = np.array(
            [_explained(self.profile, (place - lag) % bins, values) for lag in range(bins)]
        )
        if not np.isfinite(fits).any() or not np.isfinite(fits[0]):
            return None
        best = int(np.nanargmax(fits))
        slack = max(1 - self.worst, 0.01)
        if best == 0 or fits[0] > self.worst - slack or fits[best] < self.worst - slack / 2:
            return None
        return best if best <= bins // 2 else best - bins


def _bins(times: Values | None, period: float, bins: int) -> NDArray[np.intp]:
    assert times is not None
    place: NDArray[np.intp] = (np.nan_to_num(times) % period / period * bins).astype(np.intp)
    return place


def _profile(place: NDArray[np.intp], values: Values, bins: int) -> Values:
    known = ~np.isnan(values)
    count = np.bincount(place[known], minlength=bins)
    total = np.bincount(place[known], weights=values[known], minlength=bins)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _explained(profile: Values, place: NDArray[np.intp], values: Values) -> float:
    """Share of the values' variance that the profile explains, but for its level."""
    expected = profile[place]
    known = ~np.isnan(values) & ~np.isnan(expected)
    if known.sum() < 10 or known.mean() < 0.5 or np.var(values[known]) <= 0:
        return float("nan")
    rest = values[known] - expected[known]
    return float(1 - np.var(rest) / np.var(values[known]))
