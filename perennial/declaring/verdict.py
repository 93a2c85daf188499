"""What was seen of a table: values that the command line prints and pipeline.yaml is written of."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from perennial.spec import Task

Role = Literal["feature", "target", "time", "ignored", "suspected"]
"""suspected: a feature that the leak search names, and a person must decide about."""


class Sight(BaseModel):
    """One column."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str
    """In words: numbers, text, times."""
    role: Role
    why: str = ""


class Pace(BaseModel):
    """How fast the stream comes, and what follows from it."""

    model_config = ConfigDict(frozen=True)

    window: int
    """Rows that are judged together."""
    why_window: str
    rows_a_day: float | None
    """None: there is no time column to tell."""
    schedule: str
    """Cron, UTC."""
    why_schedule: str
    rollout: dict[str, object]
    """What the section ``rollout`` should say; empty where its defaults fit."""
    why_rollout: str


class Look(BaseModel):
    """All that was seen of a table, and what was guessed from it."""

    model_config = ConfigDict(frozen=True)

    rows: int
    columns: tuple[Sight, ...]
    task: Task
    why_task: str
    target: str
    time: str | None
    time_format: str | None
    pace: Pace
    notes: tuple[str, ...]
    """What a person should know of the table beside its columns."""

    def of_role(self, role: Role) -> tuple[Sight, ...]:
        """The columns of one role, in the table's order."""
        return tuple(sight for sight in self.columns if sight.role == role)
