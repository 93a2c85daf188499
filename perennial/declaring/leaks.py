"""What the gate's own search finds in a table before anything is declared."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from perennial.evaluation.division import holdout_rows
from perennial.evaluation.leakage import DUPLICATES, find_leaks
from perennial.spec import Gates, Task

_CERTAIN = 0.995
"""Share of the target from which on a copy is one, and no strong feature."""


class Suspect(NamedTuple):
    """A column that tells the target as none should."""

    column: str
    why: str
    certain: bool
    """It is a copy of the target, at least on a stretch of rows; nothing else need be known."""


def suspects(
    frame: pd.DataFrame, features: tuple[str, ...], target: str, task: Task
) -> tuple[Suspect, ...]:
    """Search all rows with a label, in time order, for leaks."""
    labelled = frame[frame[target].notna()]
    held = holdout_rows(len(labelled), len(labelled), Gates())
    leaks = find_leaks(labelled, features, target, task, held=held)
    return tuple(
        Suspect(
            column=leak.column,
            why=leak.detail,
            certain=leak.kind == "copy" and not leak.others and leak.figure >= _CERTAIN,
        )
        for leak in leaks
        if leak.column != DUPLICATES
    )
