"""What triage says of a window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from perennial.datasets.dates import Dates, in_words

CauseKind = Literal[
    "unit_change",
    "frozen_column",
    "swapped_columns",
    "recoded_categories",
    "duplicated_rows",
    "truncated_rows",
    "clock_skew",
    "labels_flipped",
    "labels_late",
    "missing_column",
    "rules_broken",
]


_NAMED = 3
"""More causes, or columns of one, are only counted."""

_BRIEF: dict[CauseKind, str] = {
    "unit_change": "{} in another unit",
    "frozen_column": "{} constant",
    "swapped_columns": "{} swapped",
    "recoded_categories": "{} recoded",
    "duplicated_rows": "rows repeated",
    "truncated_rows": "rows missing",
    "clock_skew": "clock wrong",
    "labels_flipped": "labels flipped",
    "labels_late": "labels late",
    "missing_column": "{} missing",
    "rules_broken": "rules broken: {}",
}


class Cause(BaseModel):
    """One thing that is broken in the pipe."""

    model_config = ConfigDict(frozen=True)

    kind: CauseKind
    columns: tuple[str, ...] = ()
    detail: str

    @property
    def brief(self) -> str:
        """In a few words: temp constant."""
        return _BRIEF[self.kind].format(_some(self.columns)).strip(" :")

    def __str__(self) -> str:
        where = f" in {', '.join(self.columns)}" if self.columns else ""
        return f"{self.kind.replace('_', ' ')}{where}: {self.detail}"


class TriageVerdict(BaseModel):
    """Whether a window is held, and why: the pipe is broken, not the world moved."""

    model_config = ConfigDict(frozen=True)

    window: str
    held: bool
    causes: tuple[Cause, ...] = ()
    dates: Dates | None = None

    @property
    def brief(self) -> str:
        """What is broken and where, in a few words: temp constant in window 31."""
        causes = _some([cause.brief for cause in self.causes])
        return f"{causes} in {in_words(self.window, self.dates)}"

    @property
    def reason(self) -> str:
        """All causes in words."""
        return "; ".join(map(str, self.causes))


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
