"""Columns that tell one another: the hour and the time, the month and the season, tail and carrier.

Such relations hold whatever the world does, so one that breaks speaks for the pipe.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from perennial.validation.cause import Cause
from perennial.validation.past import Slice, Values

_ROWS = 500
"""Of each window from which relations are learned; of more, so many are drawn."""
_LEVELS = 5000
_PURE = 0.97
_TIMES = ("hour of the time", "day of the week", "month of the time")


@dataclass(frozen=True)
class Relation:
    """``b`` follows from ``a``, as a table of what was seen."""

    a: str
    b: str
    keys: Values
    told: Values
    usual: float
    """The largest share of rows of a past window that broke it."""

    def broken(self, window: dict[str, Values]) -> float:
        """Share of the rows with a known ``a`` whose ``b`` is another one; NaN of too few rows."""
        return _broken(self.keys, self.told, window[self.a], window[self.b])


def _broken(keys: Values, told: Values, a: Values, b: Values) -> float:
    if not len(keys):
        return float("nan")
    place = np.minimum(np.searchsorted(keys, a), len(keys) - 1)
    known = (keys[place] == a) & ~np.isnan(b)
    if known.sum() < max(10, 0.1 * len(a)):
        return float("nan")
    return float((told[place[known]] != b[known]).mean())


def learn_relations(past: Sequence[Slice]) -> list[Relation]:
    """Find the relations that held in every past window, each tried on windows it was not learned
    from."""
    windows = [_thinned(with_calendar(p)) for p in past]
    names = [n for n in windows[0] if all(n in w for w in windows)]
    half = max(1, len(windows) // 2)
    early, all_rows = (Coded.of(part, names) for part in (windows[:half], windows))
    found = []
    for a, b in permutations(names, 2):
        levels = len(all_rows.levels[a]), len(all_rows.levels[b])
        if not 2 <= levels[1] <= levels[0] <= _LEVELS or b in _TIMES:
            continue
        first = early.table(a, b)
        if first is None:
            continue
        tried = [_broken(*first, w[a], w[b]) for w in windows[half:]]
        known = [share for share in tried if np.isfinite(share)]
        if not known or max(known) > 1 - _PURE:
            continue
        table = all_rows.table(a, b)
        if table is not None:
            found.append(Relation(a, b, *table, max(known)))
    return found


def _thinned(window: dict[str, Values]) -> dict[str, Values]:
    rows = max(map(len, window.values()), default=0)
    if rows <= _ROWS:
        return window
    # Every second row of a stream in half-hours would be those at the full hour.
    drawn = np.sort(np.random.default_rng(0).permutation(rows)[:_ROWS])
    return {name: values[drawn] for name, values in window.items()}


@dataclass(frozen=True)
class Coded:
    """Columns of several windows as numbers of their levels, -1 where there is no value."""

    levels: dict[str, Values]
    codes: dict[str, NDArray[np.intp]]

    @classmethod
    def of(cls, windows: Sequence[dict[str, Values]], names: Sequence[str]) -> Coded:
        """Number the levels of each column."""
        levels, codes = {}, {}
        for name in names:
            values = np.concatenate([w[name] for w in windows])
            present = ~np.isnan(values)
            levels[name], place = np.unique(values[present], return_inverse=True)
            codes[name] = np.full(len(values), -1, dtype=np.intp)
            codes[name][present] = place
        return cls(levels, codes)

    def table(self, a: str, b: str) -> tuple[Values, Values] | None:
        """The commonest ``b`` of each ``a`` that came often; None if ``a`` does not tell ``b``."""
        present = (self.codes[a] >= 0) & (self.codes[b] >= 0)
        place, value = self.codes[a][present], self.codes[b][present]
        keys, values = self.levels[a], self.levels[b]
        if len(values) < 2 or not len(place):
            return None
        base = np.bincount(value).max() / len(value)
        pairs, counts = np.unique(place * len(values) + value, return_counts=True)
        key = pairs // len(values)
        order = np.lexsort((counts, key))
        key = key[order]
        last = np.append(np.flatnonzero(np.diff(key)), len(key) - 1)
        purity = counts[order][last].sum() / len(value)
        if purity < _PURE or purity - base < 0.5 * (1 - base):
            return None
        often = np.bincount(place, minlength=len(keys))[key[last]] >= 3
        return keys[key[last]][often], values[pairs[order][last] % len(values)][often]


def with_calendar(window: Slice) -> dict[str, Values]:
    """The columns of a window, and what the clock says of its rows."""
    columns = {name: series.values for name, series in window.columns.items()}
    if window.times is not None and not np.isnan(window.times).any():
        days = np.floor(window.times / 86_400)
        columns[_TIMES[0]] = np.floor(window.times % 86_400 / 3_600)
        columns[_TIMES[1]] = days % 7
        moment = window.times.astype("datetime64[s]")
        columns[_TIMES[2]] = moment.astype("datetime64[M]").astype(np.float64) % 12
    return columns


def contradicted(relations: Sequence[Relation], now: Slice) -> Iterator[Cause]:
    """Name the columns that break most of the relations that they stand in."""
    window = with_calendar(now)
    told = [r for r in relations if r.a in window and r.b in window]
    shares: NDArray[np.float64] = np.array([r.broken(window) for r in told])
    bad = [
        r
        for r, s in zip(told, shares, strict=True)
        if np.isfinite(s) and s > max(0.25, 5 * r.usual)
    ]
    while bad:
        culprit = max({r.a for r in bad} | {r.b for r in bad}, key=lambda n: _blame(n, bad, told))
        mine = [r for r in bad if culprit in (r.a, r.b)]
        first = mine[0]
        detail = f"{first.b} no longer follows from {first.a}"
        if culprit in _TIMES:
            yield Cause(kind="clock_skew", detail=detail)
        else:
            yield Cause(kind="recoded_categories", columns=(culprit,), detail=detail)
        bad = [r for r in bad if r not in mine]


def _blame(name: str, bad: Sequence[Relation], told: Sequence[Relation]) -> tuple[float, bool, int]:
    """Share of its relations that are broken; of two suspects the clock is the last."""
    mine = sum(name in (r.a, r.b) for r in bad)
    return mine / sum(name in (r.a, r.b) for r in told), name not in _TIMES, mine
