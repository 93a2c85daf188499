"""All tests of leakage together, over all rows."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter

import numpy as np
import pandas as pd

from perennial.evaluation.decision import Leak
from perennial.evaluation.leakage.duplicates import find_duplicates
from perennial.evaluation.leakage.feature import (
    BEYOND_PAST,
    EXACT,
    MIN_ROWS,
    Rows,
    of_feature,
    on_a_stretch,
    on_some_rows,
    strength_of,
    varies,
)
from perennial.evaluation.leakage.identifiers import as_identifier
from perennial.evaluation.leakage.partly import stretches
from perennial.evaluation.leakage.target import Floats, as_numbers
from perennial.evaluation.leakage.together import makes_class, makes_value
from perennial.evaluation.leakage.window import LEFT_OVER, REACH, left_by_past, made_of_target
from perennial.spec import Task

DUPLICATES = "duplicate rows"
"""What ``gates.allow_leakage`` calls them."""
ROWS = 5_000
"""The newest rows, by which features are judged."""
_OLDER = 6
"""As many rows again, at most, are searched for a copy on a part of them."""
_TRAINING_ROWS = 500_000
_FEW_OF_CLASS = 15
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
        older = _older(frame, target, task, lag)
        made = _made(newest, features, rows.y, lag)
        for name in features:
            column = frame[name]
            leak = (
                of_feature(newest[name], rows, made.get(name))
                or on_a_stretch([(part, column.iloc[where]) for where, part in parts])
                or on_some_rows(newest[name], rows)
                or _first(on_some_rows(_piece(column, where), part) for where, part in older)
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


def _first(found: Iterable[Leak | None]) -> Leak | None:
    return next(filter(None, found), None)


def _piece(column: pd.Series, where: slice) -> pd.Series:
    return column.iloc[where].reset_index(drop=True)


def _older(frame: pd.DataFrame, target: str, task: Task, lag: int) -> list[tuple[slice, Rows]]:
    """Pieces of the rows before the newest, evenly spread where they are many, newest first: what
    was a copy once may be one again."""
    count = max(0, len(frame) - ROWS) // ROWS
    starts = np.linspace(len(frame) - 2 * ROWS, (len(frame) - ROWS) % ROWS, min(count, _OLDER))
    kept = []
    for start in starts.astype(int) if count else ():
        where = slice(start, start + ROWS)
        if frame[target].iloc[where].nunique() > 1:
            kept.append((where, Rows.of(frame.iloc[where], target, task, lag)))
    return kept


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
    if found is None or 1 - found.figure > BEYOND_PAST * left_by_past(rows.y, rows.lag):
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
        exact = " exactly" if figure >= 1 - EXACT else ""
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
    return {n: np.where(np.isnan(v), np.nanmean(v), v) for n, v in numeric.items() if varies(v)}


def strongest_of(
    frame: pd.DataFrame, features: tuple[str, ...], target: str, task: Task
) -> tuple[str, float] | None:
    """The feature that alone tells most of the newest rows' target, and its share.

    None: too few rows, or one value of the target, or no feature.
    """
    newest = frame.iloc[-ROWS:].reset_index(drop=True)
    if len(newest) < MIN_ROWS or newest[target].nunique() < 2 or not features:
        return None
    rows = Rows.of(newest, target, task, 1)
    return max(((name, strength_of(newest[name], rows)) for name in features), key=itemgetter(1))
