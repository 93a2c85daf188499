"""What speaks for a broken pipe in the features, measured against the stream's own past.

Every figure of a window is held against the same figure of the past windows, each taken against its
own past, so what a stream does by itself (seasons, calendar columns, rare events) is no symptom.
A symptom names its cause only where undoing that cause brings the window back to what was usual:
the world rarely moves in such a way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from perennial.validation.cause import Cause
from perennial.validation.past import (
    MANY,
    TEXT,
    Series,
    Slice,
    Values,
    decimals,
    longest_run,
    worst,
)

_NEAR = 6
"""Windows right before, with which a window is compared."""
_SOME_TEXT = 0.05
_LATELY = 10
"""Windows by which it is judged whether a column moves."""
_SLACK = 1.5
"""By how many times the worst of the past a figure must be surpassed."""
_FEW = 40
"""A numeric column of no more different values is one of codes."""


def usual_runs(past: Sequence[Slice]) -> dict[str, int]:
    """For each column the most rows in a row that held one value, of late."""
    past = past[-_LATELY:]
    return {
        name: longest_run(Series(np.concatenate([p.columns[name].values for p in past])).repeats)
        for name in past[-1].columns
        if all(name in p.columns for p in past)
    }


def frozen(runs: dict[str, int], now: Slice) -> Iterator[Cause]:
    """Columns that hold one value much longer than they ever did."""
    for name, series in now.columns.items():
        usual = runs.get(name, len(now))
        if series.longest_run > max(2 * usual, 0.2 * len(now), 10):
            yield Cause(
                kind="frozen_column",
                columns=(name,),
                detail=f"one value for {series.longest_run} rows in a row, {usual} at most before",
            )


@dataclass(frozen=True)
class Likeness:
    """How a column of a window differs from past windows of a column; each 0 to 1."""

    shape: float
    """Kolmogorov's distance of the values."""
    strange: float
    """Share of rows with a value that the past has not."""
    rhythm: float
    """Difference of the shares of rows that repeat the row before."""

    def figures(self) -> NDArray[np.float64]:
        """All three."""
        return np.array([self.shape, self.strange, self.rhythm])


def likeness(series: Series, past: Sequence[Series]) -> Likeness:
    """Compare a column of a window with past windows: shape and rhythm with the likest of them."""
    return _likeness(series, past[-_NEAR:], _distinct(past))


def _likeness(series: Series, near: Sequence[Series], known: Values) -> Likeness:
    return Likeness(
        shape=min(kolmogorov(series.outline, p.outline) for p in near),
        strange=unseen(series.present, known),
        rhythm=min(abs(series.equal_share - p.equal_share) for p in near),
    )


def kolmogorov(a: Values, b: Values) -> float:
    """The largest difference of two sorted samples' distribution functions."""
    if not len(a) or not len(b):
        return float(len(a) != len(b))
    points = np.concatenate([a, b])
    left = np.searchsorted(a, points, side="right") / len(a)
    right = np.searchsorted(b, points, side="right") / len(b)
    return float(np.abs(left - right).max())


def unseen(present: Values, known: Values) -> float:
    """Share of rows whose value is not among the known ones."""
    if not len(present):
        return 0.0
    if not len(known):
        return 1.0
    place = np.minimum(np.searchsorted(known, present), len(known) - 1)
    return float((known[place] != present).mean())


def _distinct(past: Sequence[Series]) -> Values:
    known: Values = np.unique(np.concatenate([p.distinct for p in past]))
    return known


class Columns:
    """The past of all columns, with how far each has strayed from its own past."""

    def __init__(self, past: Sequence[Slice]) -> None:
        self.names = [n for n in past[0].columns if all(n in p.columns for p in past)]
        self.past = {n: [p.columns[n] for p in past] for n in self.names}
        self.usual = {n: self._usual(self.past[n]) for n in self.names}

    @staticmethod
    def _usual(past: list[Series]) -> NDArray[np.float64]:
        """The worst that windows have shown against those before them."""
        start = max(min(3, len(past) - 1), 1)
        known, figures = _distinct(past[:start]), []
        for i in range(start, len(past)):
            figures.append(_likeness(past[i], past[max(0, i - _NEAR) : i], known).figures())
            known = np.union1d(known, past[i].distinct)
        return np.max(figures, axis=0) if figures else np.ones(3)

    def changes_slowly(self, name: str) -> bool:
        """Whether a column holds one value for windows: a season, a month."""
        still = [len(p.distinct) <= 1 for p in self.past[name]]
        return bool(np.mean(still) > 0.2) or any(
            p.longest_run > 0.5 * len(p.values) for p in self.past[name]
        )

    def is_coded(self, name: str) -> bool:
        """Whether it has few different values, and those whole numbers."""
        distinct = _distinct(self.past[name])
        return len(distinct) <= _FEW and bool((distinct % 1 == 0).all())

    def misfit(self, name: str, series: Series, extra: float = 0.15) -> bool:
        """Whether a window's column is not what this one has been."""
        figures = likeness(series, self.past[name]).figures()
        return bool((figures > _SLACK * self.usual[name] + extra).any())

    def fits(self, name: str, series: Series) -> bool:
        """Whether a window's column is what this one has been."""
        figures = likeness(series, self.past[name]).figures()
        return bool((figures <= self.usual[name] + 0.05).all())


def retyped(now: Slice, text: frozenset[str]) -> Iterator[Cause]:
    """Columns of numbers that hold text."""
    for name, series in now.columns.items():
        share = float((series.present >= TEXT).mean()) if len(series.present) else 0.0
        if name not in text and share > _SOME_TEXT:
            yield Cause(
                kind="recoded_categories",
                columns=(name,),
                detail=f"{share:.0%} of the values are text, where numbers were",
            )


def swapped(columns: Columns, now: Slice) -> Iterator[Cause]:
    """Pairs of columns neither of which is itself, and each of which is the other."""
    odd = [n for n in columns.names if n in now.columns and columns.misfit(n, now.columns[n], 0.05)]
    for a, b in combinations(odd, 2):
        if columns.fits(a, now.columns[b]) and columns.fits(b, now.columns[a]):
            yield Cause(
                kind="swapped_columns",
                columns=(a, b),
                detail=f"{a} holds what {b} has held, and {b} what {a} has held",
            )


def rescaled(columns: Columns, now: Slice, text: frozenset[str]) -> Iterator[Cause]:
    """Numeric columns that are what they were, times a factor, all at once."""
    for name in columns.names:
        if name in text or name not in now.columns or columns.is_coded(name):
            continue
        detail = _factor(columns.past[name], now.columns[name])
        if detail is not None:
            yield Cause(kind="unit_change", columns=(name,), detail=detail)


def _factor(past: list[Series], now: Series) -> str | None:
    """In words by what factor a column changed, or None where it did not so."""
    if not len(now.present):
        return None
    digits = max((int(np.quantile(p.digits, 0.99)) for p in past if len(p.present)), default=MANY)
    off_grid = digits < MANY and float((now.digits > digits).mean()) > 0.5
    steps = [_step(past[i], past[max(0, i - 3) : i]) for i in range(1, len(past))]
    bound = _SLACK * worst([abs(step[0]) for step in steps])
    if off_grid:
        for undone, name in conversions(now.outline, digits):
            if abs(_step(Series(undone), past[-3:])[0]) <= bound + 0.1:
                return f"values lie between those there can be, but for a conversion ({name})"
    size, spread = _step(now, past[-3:])
    if not (np.isfinite(size) and np.isfinite(spread)):
        return None
    # A mere shift keeps the spread; values off the old grid were computed from others.
    least = np.log(1.5) if off_grid else np.log(2.5)
    apart = 1.2 * worst([abs(step[0] - step[1]) for step in steps])
    leaps = abs(size) > max(bound, least) and abs(spread) > least
    if not leaps or abs(size - spread) > max(apart, 0.2):
        return None
    return f"values {np.exp(size):.3g} times, spread {np.exp(spread):.3g} times what they were"


CONVERSIONS = {
    "kilometres and miles": 1.609344,
    "nautical miles": 1.852,
    "metres and feet": 0.3048,
    "centimetres and inches": 2.54,
    "kilograms and pounds": 0.45359237,
    "grams and ounces": 28.349523125,
    "litres and gallons": 3.785411784,
    "hectopascals and inches of mercury": 33.8638866667,
    "kilopascals and pounds per square inch": 6.894757293168,
    "metres a second and kilometres an hour": 3.6,
    "metres a second and miles an hour": 0.44704,
    "metres a second and knots": 0.5144444444,
    "degrees and radians": np.pi / 180,
    "joules and calories": 4.184,
    "kelvins and Rankine": 1.8,
    "dozens": 12.0,
    "hours and days": 24.0,
    "minutes": 60.0,
    "seconds and hours": 3600.0,
    "weeks": 7.0,
}
"""Factors between units in use (NIST SP 811)."""


def conversions(present: Values, digits: int) -> Iterator[tuple[Values, str]]:
    """Yield (values, name) for each conversion that may have been made: undone, values need no more
    digits than before."""
    for name, factor in CONVERSIONS.items():
        for undone in (present / factor, present * factor):
            if _on_grid(undone, digits):
                yield undone, name
    for undone in (present * 1.8 + 32, (present - 32) / 1.8):
        if _on_grid(undone, digits):
            yield undone, "Fahrenheit and Celsius"
    for power in (1, 2, 3, 6):
        if _on_grid(present * 10.0**power, digits):
            yield present * 10.0**power, f"a factor of {10**power:,}"


def _on_grid(values: Values, digits: int) -> bool:
    return float((decimals(values) <= digits).mean()) >= 0.95


def _step(now: Series, before: list[Series]) -> tuple[float, float]:
    """Change of the logarithms of size and spread against the windows before."""
    known = np.array([p.scale for p in before if np.isfinite(p.scale).all()])
    if not len(known):
        return float("nan"), float("nan")
    middle = np.median(known, axis=0)
    return now.scale[0] - float(middle[0]), now.scale[1] - float(middle[1])


def recoded(columns: Columns, now: Slice, text: frozenset[str]) -> Iterator[Cause]:
    """Columns of categories or codes most of which nobody has seen, or that traded their places."""
    for name in columns.names:
        if name not in now.columns or not (name in text or columns.is_coded(name)):
            continue
        series, past = now.columns[name], columns.past[name]
        if columns.changes_slowly(name):
            continue
        strange = unseen(series.present, _distinct(past))
        usual = columns.usual[name]
        if strange > _SLACK * usual[1] + 0.2:
            yield Cause(
                kind="recoded_categories",
                columns=(name,),
                detail=f"{strange:.0%} of the rows hold a value that was never there before",
            )
        elif _permuted(past, series):
            yield Cause(
                kind="recoded_categories",
                columns=(name,),
                detail="the values are the known ones, but their shares have traded places",
            )
        elif name not in text and _scrambled(past, series):
            yield Cause(
                kind="recoded_categories",
                columns=(name,),
                detail="the values are the known ones, but no longer follow one another",
            )


def _scrambled(past: list[Series], now: Series) -> bool:
    """Whether codes that used to move by small steps leap."""
    usual = [p.roughness for p in past]
    return len(now.distinct) >= 4 and now.roughness > 1.25 * max(usual) + 0.1


def _permuted(past: list[Series], now: Series) -> bool:
    """Whether the shares, sorted, are as ever while each value's own is as never."""
    levels = _distinct([*past, now])
    if not 2 <= len(levels) <= _FEW or len(past) < 4:
        return False
    shares = np.array([_shares(p, levels) for p in [*past, now]])
    own, ordered = [], []
    for i in range(2, len(shares)):
        before = shares[max(0, i - _NEAR) : i]
        own.append(np.abs(before - shares[i]).sum(axis=1).min() / 2)
        ordered.append(np.abs(np.sort(before) - np.sort(shares[i])).sum(axis=1).min() / 2)
    moved = own[-1] > _SLACK * max(own[:-1]) + 0.1
    same = ordered[-1] <= max(ordered[:-1]) + 0.02
    return bool(moved and same and own[-1] > 3 * ordered[-1])


def _shares(series: Series, levels: Values) -> Values:
    counts = np.bincount(np.searchsorted(levels, series.present), minlength=len(levels))
    shares: Values = counts / max(len(series.present), 1)
    return shares
