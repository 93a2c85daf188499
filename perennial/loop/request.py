"""Who or what asked for a heal, and why."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel

from perennial.drift.record import Check
from perennial.evaluation.mixing import Mixture
from perennial.spec import Cure
from perennial.store import Store, layout


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

    @property
    def by_hand(self) -> bool:
        """Whether no check has asked."""
        return self.cause is None

    def mixture(self, store: Store) -> Mixture | None:
        """The shares of the heads that the check which asks has found; asked for by hand, the whole
        head. None: no head."""
        if self.depth in ("retrain", "unhead"):
            return None
        check = None if self.cause is None else store.find(self.cause)
        if check is not None:
            decision = Check.model_validate_json(check.data).decision
            if decision.depth == self.depth and decision.mixture is not None:
                return decision.mixture
        return Mixture.model_validate({self.depth: 1.0})
