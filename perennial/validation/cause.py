"""What triage says of a window."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

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


class Cause(BaseModel):
    """One thing that is broken in the pipe."""

    model_config = ConfigDict(frozen=True)

    kind: CauseKind
    columns: tuple[str, ...] = ()
    detail: str

    def __str__(self) -> str:
        where = f" in {', '.join(self.columns)}" if self.columns else ""
        return f"{self.kind.replace('_', ' ')}{where}: {self.detail}"


class TriageVerdict(BaseModel):
    """Whether a window is held, and why: the pipe is broken, not the world moved."""

    model_config = ConfigDict(frozen=True)

    window: str
    held: bool
    causes: tuple[Cause, ...] = ()

    @property
    def reason(self) -> str:
        """All causes in words."""
        return "; ".join(map(str, self.causes))
