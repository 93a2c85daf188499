"""From whom to whom a rollback goes: decided when the alert comes.

A rollback that is carried out after a restart, or twice, or beside the one that a rollout makes by
itself, must not take the place of a version of which nobody has complained.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from perennial.alerts.rules import Order
from perennial.registry import HistoryEntry, State


class Aim(BaseModel):
    """Who stood when the alert came, and who shall answer in the place of whom."""

    model_config = ConfigDict(frozen=True)

    champion: str | None
    challenger: str | None
    to: str | None = None
    """None: nobody, for the reason that ``fault`` says."""
    fault: str = ""
    overtaken: bool = False
    """Whether the fault is that what is at fault answers no more."""

    def holds(self, state: State) -> bool:
        """Tell whether those who stood still stand."""
        return (state.champion, state.challenger) == (self.champion, self.challenger)


def take_aim(
    order: Order,
    state: State,
    changes: Iterable[HistoryEntry],
    settle: timedelta,
    now: datetime,
) -> Aim:
    """Choose who shall answer.

    With a version: the champion in the place of a challenger, the champion before in the place of
    the present one. Without: as `perennial rollback`, but not after a rollback that came after the
    trouble began, or so lately that what is measured may still be of the version before.

    Args:
        changes: of the pipeline, all from `look_back` on.
        settle: how long figures over a span of time tell of what was before.
    """
    aim = Aim(champion=state.champion, challenger=state.challenger)
    if order.version is not None and order.version not in (state.champion, state.challenger):
        fault = f"version {order.version} does not answer any more"
        return aim.model_copy(update={"fault": fault, "overtaken": True})
    if order.version is None:
        since = look_back(order, settle, now)
        for entry in changes:
            if entry.event == "rollout.rolled_back" and entry.at >= since:
                fault = f"{entry.version} was rolled back at {entry.at:%FT%TZ}: {entry.reason}"
                return aim.model_copy(update={"fault": fault, "overtaken": True})
    at_fault = order.version or state.challenger or state.champion
    to = state.champion if at_fault == state.challenger else state.previous
    fault = "" if to is not None else "there is no earlier champion on record to go back to"
    return aim.model_copy(update={"to": to, "fault": fault})


def look_back(order: Order, settle: timedelta, now: datetime) -> datetime:
    """The moment from which on a rollback counts as the answer to an order."""
    return min(order.since, now - settle)
