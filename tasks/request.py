"""Who or what asked for a heal, and why."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel

from perennial.spec import Cure
from perennial.store import layout


class RetrainRequest(BaseModel):
    """Who or what asked for a retrain, and why."""

    reason: str
    cause: str | None
    """Key of the check that asked for it."""
    run: str
    started_at: AwareDatetime
    """When the run's first line was reached."""
    depth: Cure
    span: int | None
    """Newest labelled rows that a head is fitted on; None: a few windows."""

    @property
    def window(self) -> str | None:
        """The window that the cause is about."""
        return None if self.cause is None else layout.checked_window(self.cause)
