"""What was not healed in a demo, and why: refused, held, or rightly passed over."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from perennial.datasets.dates import Dates
from perennial.demo.plan import Plan
from perennial.drift.record import Check
from perennial.registry import HistoryEntry
from perennial.store import layout


class Refusal(BaseModel):
    """A heal that was asked for and did not come to a version, with the reason."""

    window: int
    depth: str
    what: str
    """What became of it: refused, held or failed."""
    reason: str


class Held(BaseModel):
    """A window that was kept from training and from being evidence."""

    window: int
    dates: Dates | None
    reason: str
    by_demo: bool
    """Whether it is the one in which the demo broke the pipe."""


class PassedOver(BaseModel):
    """A confirmed shift of the inputs that was looked at, and rightly not acted on: the loss kept
    its promise, or missed it by no more than `perennial.spec.Policy.loss_increase`."""

    window: int
    dates: Dates | None
    shifted: list[str]
    reason: str
    loss_over_promise: float
    """Of that window, by labels that came after the decision."""


_CAME_TO_NOTHING = {
    "version.refused": "refused",
    "retrain.held": "held",
    "retrain.failed": "failed",
}


def find_refusals(history: Iterable[HistoryEntry]) -> list[Refusal]:
    """Find the heals that windows asked for and that came to no version, and why."""
    return [
        Refusal(
            window=layout.window_number(layout.checked_window(entry.cause)),
            depth=str(entry.details.get("depth", "retrain")),
            what=_CAME_TO_NOTHING[entry.event],
            reason=entry.reason,
        )
        for entry in history
        if entry.event in _CAME_TO_NOTHING and entry.cause is not None
    ]


def find_held(plan: Plan, checks: list[Check]) -> list[Held]:
    """Find the windows that were held."""
    held = [check for check in checks if check.decision.action == "hold"]
    broken = None if plan.broken is None else plan.broken.window + 1
    return [
        Held(
            window=layout.window_number(check.window),
            dates=check.dates,
            reason=check.decision.reason,
            by_demo=layout.window_number(check.window) == broken,
        )
        for check in held
    ]


def passed_over(checks: list[Check], slack: float) -> list[PassedOver]:
    """Find the alarms that were rightly not acted on.

    A window in which no heal could be asked for is none of them, nor one in which a loss was known
    to have risen: there it was not the shift that was judged to be harmless.

    Args:
        checks: all of the demo.
        slack: share of its promise by which the loss of such a window may be higher.
    """
    losses = {loss.window: loss for check in checks for loss in check.losses}
    return [
        PassedOver(
            window=layout.window_number(check.window),
            dates=check.dates,
            shifted=[verdict.label for verdict in check.input.lasting],
            reason=check.decision.reason,
            loss_over_promise=losses[check.window].ratio,
        )
        for check in checks
        if check.decision.action == "keep"
        and not check.decision.put_off
        and (check.decision.loss_ratio or 0.0) <= 1 + slack
        and check.input is not None
        and check.input.confirmed
        and check.window in losses
        and not losses[check.window].risen
        and losses[check.window].ratio <= 1 + slack
    ]
