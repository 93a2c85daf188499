"""All tests of leakage together, and what they come to at the gate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from perennial.evaluation.decision import GateCheck, Leak
from perennial.evaluation.leakage.alone import explained_by, explained_by_cuts
from perennial.evaluation.leakage.duplicates import find_duplicates
from perennial.evaluation.leakage.hidden import parts_of
from perennial.evaluation.leakage.identifiers import (
    as_identifier,
    explained_by_groups,
    explained_by_order,
)
from perennial.evaluation.leakage.partly import of_one_class, on_a_line, stretches
from perennial.evaluation.leakage.shifted import best_shift
from perennial.evaluation.leakage.target import Floats, as_numbers, standardised, target_columns
from perennial.evaluation.leakage.together import makes_class, makes_value
from perennial.evaluation.leakage.window import LEFT_OVER, REACH, left_by_past, made_of_target
from perennial.spec import Task

DUPLICATES = "duplicate rows"
"""What ``gates.allow_leakage`` calls them."""
ROWS = 5_000
"""The newest rows, by which features are judged."""
MIN_ROWS = 100
_TRAINING_ROWS = 500_000
_TOO_WELL: dict[Task, float] = {"regression": 0.995, "binary": 0.9, "multiclass": 0.9}
_BEYOND_PAST = 0.2
"""A feature tells too well if it leaves this share, at most, of what repeating the truth leaves."""
_EXACT = 1e-6
_ORDER_TELLS = 0.1
"""Of the target, by an identifier that does not go with the rows."""
_ROW_TELLS = 0.5
"""By one that does: where a stream follows its past, the neighbours in time tell a part too."""
_GROUP_TELLS: dict[Task, float] = {"regression": 0.98, "binary": 0.9, "multiclass": 0.9}
_PART_TELLS = 0.995
_FEW_OF_CLASS = 15
_FEW_LEVELS = 50
_FEW_COPIES = 3


def find_leaks(
    frame: pd.DataFrame,
    features: tuple[str, ...],
    target: str,
    task: Task,
    *,
    held: int,
    lag: int = 1,
    allowed: tuple[str, ...] = (),
    later: tuple[Leak, ...] = (),
) -> tuple[Leak, ...]:
    """Find what tells the target and will not be there, or must not count, in service.

    Args:
        frame: the rows of training and gate, in time order, each with its target.
        held: how many of the newest ones are the gate's.
        lag: rows by which the truth is late, at least 1.
        allowed: columns (or `DUPLICATES`) that a person has let through.
        later: what served rows have shown.

    Returns:
        At most one finding a feature, the gravest.
    """
    found = []
    numbered: set[str] = set()
    newest = frame.iloc[-ROWS:].reset_index(drop=True)
    if len(newest) >= MIN_ROWS and newest[target].nunique() > 1:
        rows = Rows.of(newest, target, task, lag)
        parts = _stretches(frame, target, task, lag)
        made = _made(newest, features, rows.y, lag)
        for name in features:
            leak = _of_feature(newest[name], rows, made.get(name)) or _on_a_part(
                newest[name], rows, [(part, frame[name].iloc[where]) for where, part in parts]
            )
            if leak is not None:
                found.append(leak)
            if as_identifier(newest[name]) is not None:
                numbered.add(name)
        named = {leak.column for leak in found}
        leak = _together(newest, [name for name in features if name not in named], rows, allowed)
        found += [] if leak is None else [leak]
    told = frame[[*(name for name in features if name not in numbered), target]]
    found += _duplicates(told, held)
    named = {leak.column for leak in found}
    found += [leak for leak in later if leak.column in features and leak.column not in named]
    return tuple(leak.model_copy(update={"allowed": leak.column in allowed}) for leak in found)


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
        return figure >= least and 1 - figure <= _BEYOND_PAST * self.past


def _of_feature(feature: pd.Series, rows: Rows, made: Leak | None) -> Leak | None:
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
    if not _varies(values):
        return None
    values = np.where(np.isnan(values), np.nanmean(values), values)
    shift = best_shift(values, rows.y, rows.lag)
    left = 1 - shift.unknown
    if left > 1 - _TOO_WELL["regression"] or left > _BEYOND_PAST * (1 - shift.known):
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


def _on_a_part(feature: pd.Series, rows: Rows, parts: list[tuple[Rows, pd.Series]]) -> Leak | None:
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
    for part, piece in parts:
        figure = explained_by(piece.reset_index(drop=True), part.y)
        if part.tells_too_much(figure, _PART_TELLS):
            detail = (
                f"{name!r} alone tells {figure:.1%} of the target in a stretch of {len(piece):,} "
                "rows"
            )
            return Leak(kind="copy", column=name, figure=figure, detail=detail)
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


def _stretches(frame: pd.DataFrame, target: str, task: Task, lag: int) -> list[tuple[slice, Rows]]:
    """Parts of all rows in which the target varies."""
    kept = []
    for where in stretches(len(frame)):
        piece = frame.iloc[where]
        counts = piece[target].value_counts()
        if len(counts) < 2 or (task != "regression" and int(counts.iloc[1]) < _FEW_OF_CLASS):
            continue
        kept.append((where, Rows.of(piece, target, task, lag)))
    return kept


def _together(
    frame: pd.DataFrame, names: list[str], rows: Rows, allowed: tuple[str, ...]
) -> Leak | None:
    filled = _filled(frame, names)
    found = (
        makes_value(filled, rows.labels.to_numpy(np.float64))
        if rows.task == "regression"
        else makes_class(filled, frame, names, rows.y)
        or next(filter(None, (makes_value(filled, column) for column in rows.y.T)), None)
    )
    if found is None or 1 - found.figure > _BEYOND_PAST * left_by_past(rows.y, rows.lag):
        return None
    column = next((name for name in found.names if name in allowed), found.names[0])
    listed = " and ".join(map(repr, found.names))
    detail = f"the target is {found.how} {listed} ({found.figure:.2%} of it)"
    others = tuple(name for name in found.names if name != column)
    return Leak(kind="copy", column=column, figure=found.figure, detail=detail, others=others)


def _duplicates(told: pd.DataFrame, held: int) -> list[Leak]:
    split = len(told) - held
    copies = find_duplicates(told.iloc[max(0, split - _TRAINING_ROWS) : split], told.iloc[split:])
    if copies.rows < _FEW_COPIES or not copies.are_copies:
        return []
    detail = f"{copies.rows} of the {held} rows held out stand in the training too"
    return [Leak(kind="duplicates", column=DUPLICATES, figure=copies.same, detail=detail)]


def leakage_check(leaks: tuple[Leak, ...]) -> GateCheck:
    """Refuse where anything was found that pipeline.yaml does not allow."""
    refused = [leak for leak in leaks if not leak.allowed]
    if not leaks:
        return GateCheck(
            name="leakage", figure=0.0, threshold=0.0, verdict="passed", detail="no leak was found"
        )
    named = "; ".join(leak.detail for leak in refused or leaks)
    advice = "put it under ignore, or under gates.allow_leakage if it is known in time"
    return GateCheck(
        name="leakage",
        figure=float(len(refused)),
        threshold=0.0,
        verdict="refused" if refused else "overridden",
        detail=f"leakage: {named}: {advice}" if refused else f"leakage that is allowed: {named}",
    )


def _identifier(feature: pd.Series, y: Floats) -> Leak | None:
    found = as_identifier(feature)
    if found is None:
        return None
    figure = explained_by_order(feature, y)
    if figure < (_ROW_TELLS if found.in_order else _ORDER_TELLS):
        return None
    detail = f"{feature.name!r} {found.looks} and its order tells {figure:.0%} of the target"
    return Leak(kind="identifier", column=str(feature.name), figure=figure, detail=detail)


def _made(frame: pd.DataFrame, features: tuple[str, ...], y: Floats, lag: int) -> dict[str, Leak]:
    """Features that are made of the target's present or later values."""
    filled = _filled(frame, features)
    if not filled:
        return {}
    measured = made_of_target(np.column_stack(list(filled.values())), y, lag)
    leaks = {}
    for name, (present, later) in zip(filled, measured, strict=True):
        if later < 1 - LEFT_OVER:
            continue
        now = present >= 1 - LEFT_OVER
        figure = present if now else later
        exact = " exactly" if figure >= 1 - _EXACT else ""
        detail = (
            f"{name!r} is{exact} a function of the target of its own row"
            if now
            else f"{name!r} is{exact} made of the target of later rows, or of truths that come "
            f"later than it (up to {REACH} rows around were looked at)"
        )
        kind = "copy" if now else "known_later"
        leaks[name] = Leak(kind=kind, column=name, figure=figure, detail=detail)
    return leaks


def _filled(frame: pd.DataFrame, names: Iterable[str]) -> dict[str, Floats]:
    """Columns of numbers that vary, with their mean where they are missing."""
    numeric = {n: v for n in names if (v := as_numbers(frame[n])) is not None}
    return {n: np.where(np.isnan(v), np.nanmean(v), v) for n, v in numeric.items() if _varies(v)}


def _varies(values: Floats) -> bool:
    known = values[~np.isnan(values)]
    return len(known) > 0 and bool(known.min() < known.max())


def _later_label(feature: pd.Series, y: Floats, past: float) -> Leak | None:
    """A text feature that tells the target of a later row."""
    if as_numbers(feature) is not None or feature.nunique() > _FEW_LEVELS:
        return None
    for ahead in range(1, REACH + 1):
        figure = explained_by(feature.iloc[:-ahead], y[ahead:])
        if figure >= 1 - LEFT_OVER and 1 - figure <= _BEYOND_PAST * past:
            detail = f"{feature.name!r} tells {figure:.1%} of the target of {ahead} rows later"
            return Leak(kind="known_later", column=str(feature.name), figure=figure, detail=detail)
    return None


def _too_well(feature: pd.Series, rows: Rows) -> Leak | None:
    figure = strength_of(feature, rows)
    if not rows.tells_too_much(figure, _TOO_WELL[rows.task]):
        return None
    kind = "copy" if figure >= 1 - _EXACT else "too_well_alone"
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


def _left_by_past(y: Floats, lag: int) -> float:
    """Share of the target's variance that repeating the last known truth leaves, scaled at best."""
    before, after = y[:-lag], y[lag:]
    agree = (before * after).mean(axis=0) / np.maximum((before**2).mean(axis=0), 1e-12)
    left = ((after - agree * before) ** 2).mean()
    return float(left / max((after**2).mean(), 1e-12))
