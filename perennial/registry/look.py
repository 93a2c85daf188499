"""``look.json``: when the monitor last ran over a pipeline, and how that ended.

A run that finds no full window leaves nothing else behind; one that failed would be forgotten.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.store import Store, layout, read_record


class Look(BaseModel):
    """The last run of the monitor."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    at: AwareDatetime
    failures: int = 0
    """Runs in a row that failed, this one included; 0: it ended well."""
    reason: str | None = None
    """Why this one failed."""
    failing_since: AwareDatetime | None = None
    """When the first of these failed."""
    good_at: AwareDatetime | None = None
    """When a run last ended well."""


def after_look(last: Look | None, at: datetime, fault: str | None) -> Look:
    """What stands after a run that ended at a moment, well (no fault) or not."""
    if fault is None:
        return Look(at=at, good_at=at)
    if last is None or not last.failures:
        good_at = None if last is None else last.good_at
        return Look(at=at, failures=1, reason=fault, failing_since=at, good_at=good_at)
    update = {"at": at, "failures": last.failures + 1, "reason": fault}
    return last.model_copy(update=update)


def read_look(store: Store, pipeline: str) -> Look | None:
    """Read it; None where the monitor has never run.

    Raises:
        Damaged: it cannot be read.
    """
    found = store.find(layout.look(pipeline))
    return None if found is None else read_record(Look, found)
