"""The statistics of the reference's windows, and what of a new window they do not predict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.drift.baseline import Series, predict
from perennial.drift.columns import CategoricalColumn, Column, NumericColumn, column_of, thin
from perennial.drift.comparison import Comparison, Lasting
from perennial.drift.detector import Aspect, Direction, InputVerdict
from perennial.drift.effect import stability_index
from perennial.drift.scoring import Part, Scores, score
from perennial.drift.statistics import (
    Kind,
    associations_of,
    correlation_effect,
    shape_of,
    shape_units,
    shares_of,
)
from perennial.drift.summary import Summary, summarise
from perennial.drift.wording import describe
from perennial.packaging.signature import Feature

Floats = NDArray[Any]

MIN_VALUES = 5
"""With fewer present values on a side nothing is compared."""
_HELD_BACK = 3
"""Quiet windows join the baseline only this many windows later: they may have been the beginning of
a slow change."""
_JOINT = 64
"""Pairs are made of so many features at most."""

Watched = Literal["values", "prediction", "label"]


@dataclass(frozen=True)
class _Statistic:
    """A series of one aspect of one column: K statistics of one kind or of like kinds."""

    column: int
    aspect: Aspect
    series: Series
    units: Floats
    kinds: NDArray[Any]


@dataclass(frozen=True)
class Side:
    """The reference's windows: of features, of the champion's output, or of labels."""

    columns: tuple[Column, ...]
    joint: tuple[int, ...]
    aspect: Watched
    total: Summary
    units: tuple[Floats, ...]
    series: tuple[_Statistic, ...]
    pairs: Series

    @classmethod
    def of(
        cls,
        reference: pd.DataFrame,
        features: Sequence[Feature],
        bounds: NDArray[Any],
        at: Floats,
        aspect: Watched,
    ) -> Side:
        """Sum up the reference, window by window.

        Args:
            bounds: (B + 1,) row numbers at which its windows begin, and the end.
            at: (B,) where they lie in time, in windows.
        """
        columns = tuple(column_of(f, reference[f.name]) for f in features)
        joint = tuple(range(len(columns)))[:_JOINT] if aspect == "values" else ()
        blocks = summarise(reference, columns, joint, bounds)
        units = tuple(_units(column, reference) for column in columns)
        series = tuple(
            statistic
            for number in range(len(columns))
            for statistic in _statistics(columns, number, blocks, units, at, aspect)
        )
        pairs = Series(*associations_of(blocks.pairs), at)
        older = summarise(reference, columns, joint, np.array([0, bounds[0]]))
        total = older + blocks.together()
        return cls(columns, joint, aspect, total, units, series, pairs)

    def summarise(self, frame: pd.DataFrame) -> Summary:
        """Sum up a window, or a part of one."""
        return summarise(frame, self.columns, self.joint)

    def compare(
        self, window: Summary, at: float, history: Sequence[InputVerdict], persistence: int
    ) -> list[Comparison]:
        """Compare a window's sums with what is predicted of them."""
        seen = [
            statistic
            for number in range(len(self.columns))
            for statistic in _statistics(
                self.columns, number, window, self.units, np.array([at]), self.aspect
            )
        ]
        if not seen:
            return []
        held = max(_HELD_BACK, persistence - 1)
        times = at - len(history) + np.arange(len(history))
        quiet = len(history) - held
        known = self._levels(history[: max(quiet, 0)], times[: max(quiet, 0)], quiet=True)
        series = _side_by_side([s.series for s in self.series]).followed_by(known)
        newest = _side_by_side([s.series for s in seen])
        if persistence > 1:
            recent = len(history) - persistence + 1
            before = self._levels(history[max(recent, 0) :], times[max(recent, 0) :], quiet=False)
            newest = before.followed_by(newest)
        units = np.concatenate([s.units for s in seen])
        kinds = np.concatenate([s.kinds for s in seen])
        ends = np.cumsum([len(s.units) for s in seen])
        parts = [
            Part(slice(end - len(s.units), end), self._has_shares(s))
            for s, end in zip(seen, ends, strict=True)
        ]
        scores = score(series, newest, units, kinds, parts, persistence=persistence)
        before_it = history[max(len(history) - persistence + 1, 0) :]
        found = [
            comparison
            for statistic, of in zip(seen, scores, strict=True)
            for comparison in self._comparison(statistic, window, of, before_it)
        ]
        return found + self._association(window, at)

    def _has_shares(self, statistic: _Statistic) -> bool:
        column = self.columns[statistic.column]
        return isinstance(column, CategoricalColumn) and statistic.aspect != "missing"

    def _levels(self, history: Sequence[InputVerdict], at: Floats, *, quiet: bool) -> Series:
        """The statistics of earlier windows, of all columns side by side.

        Args:
            quiet: leave out what was shifted.
        """
        by_name = [{(v.feature, v.aspect): v for v in verdict.features} for verdict in history]
        parts = []
        for statistic in self.series:
            width = len(statistic.units)
            values, rows = np.zeros((len(history), width)), np.zeros((len(history), width))
            key = self.columns[statistic.column].name, statistic.aspect
            for i, verdicts in enumerate(by_name):
                verdict = verdicts.get(key)
                if verdict is None or len(verdict.levels) != width or (quiet and verdict.shifted):
                    continue
                values[i], rows[i] = verdict.levels, verdict.values
            parts.append(Series(values, rows, at))
        return _side_by_side(parts)

    def _comparison(
        self,
        statistic: _Statistic,
        window: Summary,
        of: Scores,
        before_it: Sequence[InputVerdict],
    ) -> list[Comparison]:
        column = self.columns[statistic.column]
        before, after = self.total.columns[statistic.column], window.columns[statistic.column]
        absent = self.total.rows[0] - before.present[0], window.rows[0] - after.present[0]
        direction: Direction
        if statistic.aspect == "missing":
            if not any(absent):
                return []
            counts = (
                np.array([before.present[0], absent[0]]),
                np.array([after.present[0], absent[1]]),
            )
            shares = absent[0] / max(self.total.rows[0], 1), absent[1] / max(window.rows[0], 1)
            direction = "up" if shares[1] > shares[0] else "down"
            detail = f"missing {shares[0]:.1%} -> {shares[1]:.1%}"
        else:
            if min(before.present[0], after.present[0]) < MIN_VALUES:
                return [Comparison.blank(column.name, statistic.aspect)]
            counts = before.counts[0], after.counts[0]
            moved = bool(np.argmax(np.abs(of.scores)) == 0)
            direction, detail = describe(column, before, after, moved=moved)
        effect = stability_index(*counts)
        return [
            Comparison(
                feature=column.name,
                aspect=statistic.aspect,
                test="moments",
                statistic=float(of.scores[np.argmax(np.abs(of.scores))]),
                p_value=of.p_value,
                effect=effect,
                direction=direction,
                detail=detail,
                values=int(statistic.series.rows[0].max()),
                levels=tuple(float(v) for v in statistic.series.values[0]),
                lasting=Lasting(
                    of.together, _mean_effect(column.name, statistic, effect, before_it)
                ),
            )
        ]

    def _association(self, window: Summary, at: float) -> list[Comparison]:
        """All pairs as one comparison: that of the pair which changed most."""
        values, rows = associations_of(window.pairs)
        width = values.shape[1]
        if not width or not rows.any():
            return []
        kinds = np.full(width, Kind.CORRELATION)
        prediction = predict(self.pairs, np.ones(width), kinds, at=at, rows=rows[0])
        scores, p_values = prediction.score(values[0])
        compared = int((prediction.freedom > 0).sum())
        if not compared:
            return []
        strongest = int(np.argmin(p_values))
        before, after = np.tanh(prediction.mean[strongest]), np.tanh(values[0, strongest])
        i, j = (int(index[strongest]) for index in np.triu_indices(len(self.joint), 1))
        names = [self.columns[self.joint[k]].name for k in (i, j)]
        known = float(self.pairs.rows[:, strongest].sum())
        return [
            Comparison(
                feature=" with ".join(names),
                aspect="association",
                test="moments",
                statistic=float(scores[strongest]),
                p_value=min(1.0, float(p_values[strongest]) * compared),
                effect=correlation_effect(before, after, float(rows[0, strongest]), known),
                direction="up" if after > before else "down",
                detail=f"correlation of {names[0]} with {names[1]} {before:.2f} -> {after:.2f}",
                values=int(rows[0, strongest]),
            )
        ]


def _side_by_side(parts: Sequence[Series]) -> Series:
    """All statistics of the same windows as one series."""
    return Series(
        np.hstack([s.values for s in parts]), np.hstack([s.rows for s in parts]), parts[0].at
    )


def _mean_effect(
    name: str, statistic: _Statistic, effect: float, before: Sequence[InputVerdict]
) -> float:
    earlier = [
        v.effect
        for verdict in before
        for v in verdict.features
        if (v.feature, v.aspect) == (name, statistic.aspect)
    ]
    return float(np.mean([effect, *earlier]))


def _units(column: Column, reference: pd.DataFrame) -> Floats:
    if not isinstance(column, NumericColumn):
        return np.full(column.bins, 0.25)
    values = column.read(reference[column.name])
    return shape_units(column.standardise(thin(values[~np.isnan(values)])))


def _statistics(
    columns: Sequence[Column],
    number: int,
    windows: Summary,
    units: Sequence[Floats],
    at: Floats,
    aspect: Watched,
) -> Iterable[_Statistic]:
    """The series of a column's values, and of its missing rate."""
    column, sums = columns[number], windows.columns[number]
    if isinstance(column, NumericColumn):
        values, rows = shape_of(column, sums, units[number])
        if aspect == "prediction":
            # A model is bolder on the rows that it was fitted on: their spread is no standard.
            values, rows = values[:, :1], rows[:, :1]
        kinds = np.array([Kind.MEAN, Kind.SPREAD, Kind.SKEWNESS])[: values.shape[1]]
    else:
        values = shares_of(sums.counts, sums.present)
        rows = np.repeat(sums.present[:, None], column.bins, axis=1)
        kinds = np.full(column.bins, Kind.MEAN)
    yield _Statistic(
        number, aspect, Series(values, rows, at), units[number][: values.shape[1]], kinds
    )
    if aspect == "values":
        absent = windows.rows - sums.present
        missing = Series(
            shares_of(absent[:, None], windows.rows), windows.rows[:, None].astype(np.float64), at
        )
        yield _Statistic(number, "missing", missing, np.array([0.25]), np.array([Kind.MISSING]))
