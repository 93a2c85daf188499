"""Look at a table: every column's part, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd

from perennial.datasets.source import RESERVED
from perennial.declaring.ids import name_of_rows
from perennial.declaring.kinds import holds_objects, is_month, is_text, kind_of, stray_texts
from perennial.declaring.leaks import Suspect, suspects
from perennial.declaring.pace import set_pace
from perennial.declaring.target import RARE, guess_task, notes_on_target
from perennial.declaring.times import TimeColumn, choose_time, read_column, time_columns
from perennial.declaring.verdict import Look, Role, Sight
from perennial.errors import SourceError
from perennial.evaluation.leakage.target import target_columns
from perennial.packaging.signature import canonical_label
from perennial.spec import Task

_MANY_LEVELS = 50


def look_at(
    frame: pd.DataFrame,
    *,
    target: str,
    time: str | None = None,
    time_format: str | None = None,
    unreadable: Mapping[str, int] = MappingProxyType({}),
) -> Look:
    """Look at a table as an engineer would before it is trained on.

    Args:
        frame: the table as it was read.
        target: the column to predict.
        time: the column that says when a row was; None: it is looked for.
        time_format: as pipeline.yaml takes it; None: it is looked for.
        unreadable: cells of a column of numbers that are none, and stand as missing.

    Raises:
        SourceError: a column is not there, the target cannot be learned, the time cannot be read,
            or no feature is left.
    """
    _check_columns(frame, target, time)
    if time_format is not None and time is None:
        raise SourceError("--time-format goes with --time: name the column that is written so")
    task, why_task = guess_task(frame[target])
    dates, refused = time_columns(frame if time is None else frame.drop(columns=time), target)
    chosen = (
        read_column(frame[time], time_format, f"time: {time}")
        if time is not None
        else choose_time(dates)
    )
    ordered = _in_order(frame, chosen)
    ignored = {**dict(_ignored(ordered, target, task, chosen, dates)), **refused}
    kept = [str(c) for c in frame.columns if c not in ignored and c not in (target, _name(chosen))]
    found = suspects(ordered, tuple(kept), target, task)
    ignored |= {one.column: one.why for one in found if one.certain}
    suspected = {one.column: one for one in found if not one.certain}
    sights = tuple(_sights(frame, target, why_task, time, chosen, ignored, suspected, unreadable))
    if not any(sight.role in ("feature", "suspected") for sight in sights):
        raise SourceError(
            "no feature is left: " + "; ".join(f"{name!r}: {why}" for name, why in ignored.items())
        )
    times = None if chosen is None else chosen.times.dropna()
    return Look(
        rows=len(frame),
        columns=sights,
        task=task,
        why_task=why_task,
        target=target,
        time=_name(chosen),
        time_format=None if chosen is None else chosen.format,
        pace=set_pace(len(frame), times, _rarest(frame[target], task)),
        notes=tuple(_notes(frame, target, task, chosen, refused)),
    )


def _check_columns(frame: pd.DataFrame, target: str, time: str | None) -> None:
    known = ", ".join(map(str, frame.columns))
    for key, column in (("target", target), ("time", time)):
        if column is not None and column not in frame.columns:
            raise SourceError(f"{key}: there is no column {column!r}; there are {known}")
        if column in RESERVED:
            raise SourceError(f"{key}: {column!r} is a name of the log's own: rename the column")
    if time == target:
        raise SourceError(f"time: {target!r} is the target")


def _name(chosen: TimeColumn | None) -> str | None:
    return None if chosen is None else chosen.name


def _in_order(frame: pd.DataFrame, chosen: TimeColumn | None) -> pd.DataFrame:
    if chosen is None:
        return frame
    order = np.argsort(chosen.times.to_numpy(), kind="stable")
    return frame.iloc[order].reset_index(drop=True)


def _ignored(
    frame: pd.DataFrame,
    target: str,
    task: Task,
    chosen: TimeColumn | None,
    dates: list[TimeColumn],
) -> Iterator[tuple[str, str]]:
    """Columns that cannot be a feature, each with the reason."""
    labelled = frame[target].notna().to_numpy()
    y = target_columns(frame[target][labelled], task)
    times = {one.name for one in dates} | {n for n in frame if frame[n].dtype.kind in "mM"}
    copies = _copies(frame, target)
    for name in frame.columns:
        if name in (target, _name(chosen)):
            continue
        known = frame[name].dropna()
        if name in RESERVED:
            yield name, "a name of the log's own: rename the column to use it"
        elif known.empty:
            yield name, "no value in any row"
        elif holds_objects(known):
            yield name, "holds lists or objects; a feature is a number or a text"
        elif known.nunique() == 1 and len(known) == len(frame):
            yield name, f"{canonical_label(known.iloc[0])} in every row"
        elif name in times:
            yield name, "a time; what it tells is past when it is used"
        elif name in copies:
            yield name, f"the same as {copies[name]}"
        elif is_month(known):
            yield name, "months, quarters or weeks of a year: they do not come back"
        elif reason := _text_among_numbers(known) or name_of_rows(frame[name][labelled], y):
            yield name, reason


def _copies(frame: pd.DataFrame, target: str) -> dict[str, str]:
    """Columns that equal another one in every row, each with the first such; the target first."""
    first: dict[bytes, str] = {}
    copies = {}
    for name in [target, *(c for c in frame.columns if c != target)]:
        column = frame[name]
        if holds_objects(column.dropna()):
            continue
        digest = pd.util.hash_pandas_object(_comparable(column), index=False).to_numpy().tobytes()
        if digest in first:
            copies[str(name)] = "the target" if first[digest] == target else first[digest]
        else:
            first[digest] = str(name)
    return copies


def _comparable(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        return column.astype(np.float64)
    return column.astype(object).where(column.notna(), None)


def _text_among_numbers(known: pd.Series) -> str | None:
    """A column of numbers that a few texts make a text column of many levels."""
    if not is_text(known) or known.nunique() <= _MANY_LEVELS:
        return None
    strays = stray_texts(known)
    if not strays:
        return None
    shown = ", ".join(repr(text) for text in strays[:3])
    return f"numbers, but {len(strays):,} texts among them ({shown}): mend the file to use it"


def _sights(
    frame: pd.DataFrame,
    target: str,
    why_task: str,
    time: str | None,
    chosen: TimeColumn | None,
    ignored: dict[str, str],
    suspected: dict[str, Suspect],
    unreadable: Mapping[str, int],
) -> Iterator[Sight]:
    for name in map(str, frame.columns):
        role: Role = "feature"
        kind, why = kind_of(frame[name]), _missing(frame[name], unreadable.get(name, 0))
        if name == target:
            role, why = "target", "; ".join(filter(None, (why_task, why)))
        elif chosen is not None and name == chosen.name:
            role, kind, why = "time", f"times, {chosen.format}", _why_time(chosen, time)
        elif name in ignored:
            role, why = "ignored", ignored[name]
        elif name in suspected:
            role, why = "suspected", f"{suspected[name].why}: the gate will refuse it"
        yield Sight(name=name, kind=kind, role=role, why=why)


def _missing(column: pd.Series, unreadable: int) -> str:
    missing = int(column.isna().sum())
    if not missing:
        return ""
    words = f"{missing / len(column):.1%} missing"
    return words + (f", {unreadable:,} of them texts among numbers" if unreadable else "")


def _why_time(chosen: TimeColumn, named: str | None) -> str:
    why = "named" if named is not None else "reads as times"
    return why + (", and ascends" if chosen.in_order else "; rows are sorted by it")


def _rarest(target: pd.Series, task: Task) -> float | None:
    """Share of the rarest class that has rows enough to be learned."""
    if task == "regression":
        return None
    counts = target.dropna().map(canonical_label).value_counts()
    usable = counts[counts >= RARE]
    return float(usable.min() / len(target)) if len(usable) else None


def _notes(
    frame: pd.DataFrame,
    target: str,
    task: Task,
    chosen: TimeColumn | None,
    refused: dict[str, str],
) -> Iterator[str]:
    yield from notes_on_target(frame[target], task)
    plain = [name for name in frame.columns if not holds_objects(frame[name].dropna())]
    twice = int(frame[plain].duplicated().sum())
    if twice:
        yield f"{twice:,} rows are copies of earlier ones: take them out if nothing happened twice"
    if chosen is None:
        yield "no column says when a row was: the order of the rows is taken for time's"
        for name in refused:
            yield f"if {name!r} does, name it: --time {name}, with its --time-format"
    elif missing := int(chosen.times.isna().sum()):
        yield f"{missing:,} rows have no {chosen.name} that is a time: they go to quarantine"
