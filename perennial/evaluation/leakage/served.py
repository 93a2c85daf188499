"""Features that are filled in, or changed, after the row was answered.

The log says what was known when an answer was due, the source what is known by now. What training
sees and service never did is a leak, however little it tells.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.evaluation.decision import Leak
from perennial.evaluation.leakage.alone import row_errors
from perennial.evaluation.leakage.feature import MIN_ROWS
from perennial.evaluation.leakage.target import target_columns
from perennial.packaging.signature import Feature
from perennial.spec import Task

_MOSTLY = 0.5
_SPANS = 4
_TELLS_MORE = 0.05
"""Of the target's variance, which the source's value tells beyond the served one."""
_SURE = 3.0
"""Standard errors."""
_GROUPS = 20
"""A trend is enough, and a hundred rows give no more."""


def filled_later(
    served: pd.DataFrame, source: pd.DataFrame, features: Iterable[Feature]
) -> tuple[Leak, ...]:
    """Find features that mostly have no value when they are served and have one in the source.

    Each quarter of the served rows has to lack it, and each of as many of the source's to have it:
    a sensor that failed lately, or long ago, is no leak.

    Args:
        served: rows as one model was asked, in the order of time.
        source: the newest labelled rows of the source.

    Returns:
        One finding a feature.
    """
    if len(served) < MIN_ROWS or len(source) < MIN_ROWS:
        return ()
    found = []
    newest = source.iloc[-len(served) :]
    spans, theirs = (np.array_split(np.arange(len(rows)), _SPANS) for rows in (served, newest))
    for name in _in_both(served, source, features):
        absent = _absent(served[name])
        lacking = min(float(absent[span].mean()) for span in spans)
        unknown = _absent(newest[name])
        known = 1.0 - max(float(unknown[span].mean()) for span in theirs)
        if lacking - (1.0 - known) < _MOSTLY:
            continue
        detail = (
            f"{name!r} had no value in {absent.mean():.0%} of {len(served):,} served rows and has "
            f"one in {known:.0%} of the source's: it is filled in later"
        )
        found.append(Leak(kind="known_later", column=name, figure=lacking, detail=detail))
    return tuple(found)


def changed_later(
    served: pd.DataFrame,
    source: pd.DataFrame,
    features: Iterable[Feature],
    target: str,
    task: Task,
) -> tuple[Leak, ...]:
    """Find features whose value in the source tells the target better than the served one did.

    A unit or rounding that differs tells as much: that is skew, and no leak.

    Args:
        served, source: the same rows one to one, in the order of time.
        target: its column in ``source``.

    Returns:
        One finding a feature.
    """
    labelled = source[target].notna().to_numpy()
    served, source = served[labelled], source[labelled]
    if len(source) < MIN_ROWS or source[target].nunique() < 2:
        return ()
    y = target_columns(source[target].reset_index(drop=True), task)
    found = []
    for name in _in_both(served, source, features):
        then, now = (frame[name].reset_index(drop=True) for frame in (served, source))
        errors_then, errors_now = (row_errors(x, y, groups=_GROUPS) for x in (then, now))
        gain = errors_then - errors_now
        sure = gain.mean() - _SURE * gain.std() / len(gain) ** 0.5
        told, tells = 1.0 - float(errors_then.mean()), 1.0 - float(errors_now.mean())
        if sure <= 0 or min(tells - told, tells) < _TELLS_MORE:
            continue
        detail = (
            f"{name!r} tells {tells:.0%} of the target in the source, and as it was "
            f"served for the same {len(y):,} rows {max(told, 0.0):.0%}: it is "
            "changed later"
        )
        found.append(Leak(kind="known_later", column=name, figure=tells - told, detail=detail))
    return tuple(found)


def _in_both(served: pd.DataFrame, source: pd.DataFrame, features: Iterable[Feature]) -> list[str]:
    return [f.name for f in features if f.name in served.columns and f.name in source.columns]


def _absent(column: pd.Series) -> NDArray[np.bool_]:
    """Where a column has no value; on the wire the empty string is none either."""
    absent: NDArray[np.bool_] = (column.isna() | column.eq("")).to_numpy(dtype=bool)
    return absent
