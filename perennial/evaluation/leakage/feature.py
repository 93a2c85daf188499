"""One feature held against the target: every test that needs no other feature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from perennial.evaluation.decision import Leak
from perennial.evaluation.leakage.alone import explained_by, explained_by_cuts
from perennial.evaluation.leakage.hidden import parts_of
from perennial.evaluation.leakage.identifiers import (
    as_identifier,
    explained_by_groups,
    explained_by_order,
)
from perennial.evaluation.leakage.partly import of_one_class, on_a_line
from perennial.evaluation.leakage.shifted import best_shift
from perennial.evaluation.leakage.target import Floats, as_numbers, standardised, target_columns
from perennial.evaluation.leakage.window import LEFT_OVER, REACH
from perennial.spec import Task

MIN_ROWS = 100
BEYOND_PAST = 0.2
"""A feature tells too well if it leaves this share, at most, of what repeating the truth leaves."""
EXACT = 1e-6
_TOO_WELL: dict[Task, float] = {"regression": 0.995, "binary": 0.9, "multiclass": 0.9}
_ORDER_TELLS = 0.1
"""Of the target, by an identifier that does not go with the rows."""
_ROW_TELLS = 0.5
"""By one that does: where a stream follows its past, the neighbours in time tell a part too."""
_GROUP_TELLS: dict[Task, float] = {"regression": 0.98, "binary": 0.9, "multiclass": 0.9}
_PART_TELLS = 0.995
_FEW_LEVELS = 50


@dataclass(frozen=True, eq=False)
class Rows:
    """The target of some rows, and how much of it the past tells."""

    task: Task
    lag: int
    labels: pd.Series
    y: Floats
    """As `target_columns` gives it."""
    past: float
    """Share of its variance that repeating the last known truth leaves."""

    @classmethod
    def of(cls, frame: pd.DataFrame, target: str, task: Task, lag: int) -> Rows:
        """Read the target of rows in time order."""
        labels = frame[target].reset_index(drop=True)
        y = target_columns(labels, task)
        return cls(task, lag, labels, y, _left_by_past(y, lag))

    @property
    def ranks(self) -> Floats:
        """A number's ranks, standardised."""
        return standardised(self.y.argsort(axis=0).argsort(axis=0).astype(np.float64))

    def tells_too_much(self, figure: float, least: float) -> bool:
        """Whether a share is at least that much, and leaves far less than the past does."""
        return figure >= least and 1 - figure <= BEYOND_PAST * self.past


def of_feature(feature: pd.Series, rows: Rows, made: Leak | None) -> Leak | None:
    return (
        _identifier(feature, rows.y)
        or made
        or _later_label(feature, rows.y, rows.past)
        or _too_well(feature, rows)
        or _shifted(feature, rows)
        or _groups(feature, rows)
        or _hidden(feature, rows)
    )


def _hidden(feature: pd.Series, rows: Rows) -> Leak | None:
    for words, column in parts_of(feature):
        part = column.rename(feature.name)
        leak = _identifier(part, rows.y) or _too_well(part, rows) or _shifted(part, rows)
        if leak is not None:
            detail = f"{words} {leak.detail}"
            return leak.model_copy(update={"detail": detail})
    return None


def _shifted(feature: pd.Series, rows: Rows) -> Leak | None:
    values = as_numbers(feature)
    if values is None:
        codes, levels = pd.factorize(feature)
        if not 2 <= len(levels) <= _FEW_LEVELS:
            return None
        values = (codes == np.bincount(codes[codes >= 0]).argmax()).astype(np.float64)
    if not varies(values):
        return None
    values = np.where(np.isnan(values), np.nanmean(values), values)
    shift = best_shift(values, rows.y, rows.lag)
    left = 1 - shift.unknown
    if left > 1 - _TOO_WELL["regression"] or left > BEYOND_PAST * (1 - shift.known):
        return None
    detail = f"{feature.name!r} tells {shift.unknown:.1%} of the target " + (
        f"of {shift.ahead} rows later"
        if shift.ahead > 0
        else f"of {-shift.ahead} rows before, which is known only {rows.lag} rows after"
    )
    return Leak(kind="known_later", column=str(feature.name), figure=shift.unknown, detail=detail)


def _groups(feature: pd.Series, rows: Rows) -> Leak | None:
    numbers = as_numbers(feature)
    if numbers is not None and not bool((numbers == np.round(numbers)).all()):
        return None
    figure = explained_by_groups(feature, rows.y)
    if not rows.tells_too_much(figure, _GROUP_TELLS[rows.task]):
        return None
    detail = f"{feature.name!r} groups rows, and the group tells {figure:.1%} of the target"
    return Leak(kind="identifier", column=str(feature.name), figure=figure, detail=detail)


def on_a_stretch(parts: list[tuple[Rows, pd.Series]]) -> Leak | None:
    for part, piece in parts:
        figure = explained_by(piece.reset_index(drop=True), part.y)
        if part.tells_too_much(figure, _PART_TELLS):
            name = str(piece.name)
            detail = (
                f"{name!r} alone tells {figure:.1%} of the target in a stretch of {len(piece):,} "
                "rows"
            )
            return Leak(kind="copy", column=name, figure=figure, detail=detail)
    return None


def on_some_rows(feature: pd.Series, rows: Rows) -> Leak | None:
    """A copy where a value is there, or on a share of the rows, or for one class."""
    name = str(feature.name)
    present = feature.notna().to_numpy()
    if MIN_ROWS <= present.sum() < len(present):
        here = Rows(
            rows.task, rows.lag, rows.labels[present], standardised(rows.y[present]), rows.past
        )
        if here.labels.nunique() > 1:
            leak = _too_well(feature[present].reset_index(drop=True), here)
            if leak is not None:
                return leak.model_copy(update={"detail": f"where it is there, {leak.detail}"})
    if rows.task == "regression":
        values = as_numbers(feature)
        share = 0.0 if values is None else on_a_line(values, rows.y[:, 0], rows.lag)
        if share:
            detail = (
                f"{name!r} is a copy of the target, or a line in it, in {share:.0%} of the rows"
            )
            return Leak(kind="copy", column=name, figure=share, detail=detail)
        return None
    pure = of_one_class(feature, rows.y, rows.lag)
    if pure is None:
        return None
    detail = f"{pure[0]} of {name!r} ({pure[1]:.0%} of the rows) comes with one class only"
    return Leak(kind="too_well_alone", column=name, figure=pure[1], detail=detail)


def _identifier(feature: pd.Series, y: Floats) -> Leak | None:
    found = as_identifier(feature)
    if found is None:
        return None
    figure = explained_by_order(feature, y)
    if figure < (_ROW_TELLS if found.in_order else _ORDER_TELLS):
        return None
    detail = f"{feature.name!r} {found.looks} and its order tells {figure:.0%} of the target"
    return Leak(kind="identifier", column=str(feature.name), figure=figure, detail=detail)


def _later_label(feature: pd.Series, y: Floats, past: float) -> Leak | None:
    """A text feature that tells the target of a later row."""
    if as_numbers(feature) is not None or feature.nunique() > _FEW_LEVELS:
        return None
    for ahead in range(1, REACH + 1):
        figure = explained_by(feature.iloc[:-ahead], y[ahead:])
        if figure >= 1 - LEFT_OVER and 1 - figure <= BEYOND_PAST * past:
            detail = f"{feature.name!r} tells {figure:.1%} of the target of {ahead} rows later"
            return Leak(kind="known_later", column=str(feature.name), figure=figure, detail=detail)
    return None


def _too_well(feature: pd.Series, rows: Rows) -> Leak | None:
    figure = strength_of(feature, rows)
    if not rows.tells_too_much(figure, _TOO_WELL[rows.task]):
        return None
    kind = "copy" if figure >= 1 - EXACT else "too_well_alone"
    detail = f"{feature.name!r} alone tells {figure:.1%} of the target"
    return Leak(kind=kind, column=str(feature.name), figure=figure, detail=detail)


def strength_of(feature: pd.Series, rows: Rows) -> float:
    """Share of the target that a feature alone tells, in whichever way it tells most."""
    figure = explained_by(feature, rows.y)
    numbers = as_numbers(feature)
    if numbers is None or figure >= _TOO_WELL[rows.task]:
        return figure
    if rows.task == "regression":
        # By its ranks no tail weighs more than the rest.
        return max(figure, explained_by(pd.Series(numbers).rank(), rows.ranks))
    return max(figure, explained_by_cuts(numbers, rows.y))


def varies(values: Floats) -> bool:
    known = values[~np.isnan(values)]
    return len(known) > 0 and bool(known.min() < known.max())


def _left_by_past(y: Floats, lag: int) -> float:
    """Share of the target's variance that repeating the last known truth leaves, scaled at best."""
    before, after = y[:-lag], y[lag:]
    agree = (before * after).mean(axis=0) / np.maximum((before**2).mean(axis=0), 1e-12)
    left = ((after - agree * before) ** 2).mean()
    return float(left / max((after**2).mean(), 1e-12))
