"""Who or what asked for a heal, and why."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel

from perennial.drift.decision import Decision
from perennial.drift.record import Check
from perennial.spec import Depth
from perennial.store import Store, layout


class RetrainRequest(BaseModel):
    """Who or what asked for a retrain, and why."""

    reason: str
    cause: str | None
    """Key of the check that asked for it."""
    run: str
    started_at: AwareDatetime
    """When the run's first line was reached."""
    depth: Depth
    span: int | None
    """Newest labelled rows that small models are fitted on; None: a few windows."""

    @property
    def window(self) -> str | None:
        """The window that the cause is about."""
        return None if self.cause is None else layout.checked_window(self.cause)

    @property
    def by_hand(self) -> bool:
        """Whether no check has asked."""
        return self.cause is None

    def decision(self, store: Store, pipeline: str) -> Decision | None:
        """What was decided by the check that asks, or by the newest one, where a person asks; None:
        there is none."""
        key = self.cause
        if key is None:
            key = max((info.key for info in store.scan(layout.checks(pipeline))), default=None)
        check = None if key is None else store.find(key)
        return None if check is None else Check.model_validate_json(check.data).decision
