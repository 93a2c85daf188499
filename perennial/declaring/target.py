"""What the target says of the task, and whether it can be learned."""

from __future__ import annotations

import pandas as pd

from perennial.declaring.kinds import stray_texts
from perennial.errors import SourceError
from perennial.packaging.signature import canonical_label
from perennial.spec import Task

_CLASSES = 20
_FEW_OF_ALL = 0.05
"""Whole numbers of fewer distinct values than this share of the rows may be classes."""
_MOST_CLASSES = 0.5
RARE = 20
"""Rows of a class below which neither a model nor a gate learns anything of it."""


def guess_task(target: pd.Series) -> tuple[Task, str]:
    """Guess the task from a target; the second value says why.

    Regression for numbers of many values, else binary or multiclass by the count of values.

    Raises:
        SourceError: it has fewer than two values, numbers with a few texts among them, or nearly
            as many texts as rows.
    """
    values = target.dropna()
    name = str(target.name)
    distinct = values.nunique()
    if distinct < 2:
        raise SourceError(f"target: {name!r} has only one value; there is nothing to learn")
    if distinct == 2:
        first, second = sorted(canonical_label(value) for value in values.unique())
        return "binary", f"two values, {first} and {second}"
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        strays = stray_texts(values)
        if strays:
            raise SourceError(
                f"target: {name!r} holds numbers, but also {_listed(strays)}: mend the file, or "
                "empty these cells"
            )
        if distinct > _MOST_CLASSES * len(values):
            raise SourceError(
                f"target: {name!r} holds {distinct} different texts in {len(values)} rows; there "
                "is nothing to learn"
            )
        return "multiclass", f"{distinct} different texts"
    whole = (values.astype(float) % 1 == 0).all()
    if whole and distinct <= _CLASSES and distinct < _FEW_OF_ALL * len(values):
        return "multiclass", f"{distinct} different whole numbers; regression if they are amounts"
    return "regression", f"numbers of {distinct:,} different values"


def notes_on_target(target: pd.Series, task: Task) -> list[str]:
    """Tell of missing labels and of classes that are too rare to be learned."""
    notes = []
    missing = int(target.isna().sum())
    if missing:
        notes.append(
            f"{missing:,} rows ({missing / len(target):.1%}) have no {target.name}: nothing is "
            "learned from them"
        )
    if task != "regression":
        counts = target.dropna().map(canonical_label).value_counts()
        rare = counts[counts < RARE]
        if len(rare):
            named = ", ".join(f"{label} ({rows} rows)" for label, rows in rare.items())
            notes.append(f"too rare to be learned or judged (below {RARE} rows): {named}")
    return notes


def _listed(texts: list[str]) -> str:
    shown = ", ".join(repr(text) for text in texts[:3])
    return shown + (f" and {len(texts) - 3} more texts" if len(texts) > 3 else "")
