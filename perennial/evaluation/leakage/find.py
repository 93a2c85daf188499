"""All tests of leakage together, and what they come to at the gate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from perennial.evaluation.decision import GateCheck, Leak
from perennial.evaluation.leakage.alone import explained_by
from perennial.evaluation.leakage.duplicates import find_duplicates
from perennial.evaluation.leakage.identifiers import as_identifier, explained_by_order
from perennial.evaluation.leakage.target import Floats, as_numbers, target_columns
from perennial.evaluation.leakage.window import LEFT_OVER, REACH, made_of_target
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
    newest = frame.iloc[-ROWS:].reset_index(drop=True)
    if len(newest) >= MIN_ROWS and newest[target].nunique() > 1:
        y = target_columns(newest[target], task)
        made = _made(newest, features, y, lag)
        past = _left_by_past(y, lag)
        for name in features:
            leak = (
                _identifier(newest[name], y)
                or made.get(name)
                or _later_label(newest[name], y, past)
                or _too_well(newest[name], y, task, past)
            )
            if leak is not None:
                found.append(leak)
    split = len(frame) - held
    told = frame[[*features, target]]
    copies = find_duplicates(told.iloc[max(0, split - _TRAINING_ROWS) : split], told.iloc[split:])
    if copies.rows >= _FEW_COPIES and copies.are_copies:
        detail = f"{copies.rows} of the {held} rows held out stand in the training too"
        found.append(Leak(kind="duplicates", column=DUPLICATES, figure=copies.same, detail=detail))
    named = {leak.column for leak in found}
    found += [leak for leak in later if leak.column in features and leak.column not in named]
    return tuple(leak.model_copy(update={"allowed": leak.column in allowed}) for leak in found)


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
    numeric = {n: v for n in features if (v := as_numbers(frame[n])) is not None}
    filled = {n: np.where(np.isnan(v), np.nanmean(v), v) for n, v in numeric.items() if _varies(v)}
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


def _too_well(feature: pd.Series, y: Floats, task: Task, past: float) -> Leak | None:
    figure = explained_by(feature, y)
    if figure < _TOO_WELL[task] or 1 - figure > _BEYOND_PAST * past:
        return None
    kind = "copy" if figure >= 1 - _EXACT else "too_well_alone"
    detail = f"{feature.name!r} alone tells {figure:.1%} of the target"
    return Leak(kind=kind, column=str(feature.name), figure=figure, detail=detail)


def _left_by_past(y: Floats, lag: int) -> float:
    """Share of the target's variance that repeating the last known truth leaves, scaled at best."""
    before, after = y[:-lag], y[lag:]
    agree = (before * after).mean(axis=0) / np.maximum((before**2).mean(axis=0), 1e-12)
    left = ((after - agree * before) ** 2).mean()
    return float(left / max((after**2).mean(), 1e-12))
