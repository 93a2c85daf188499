"""What a heal costs, in the currency of what it gains: shares of a window's loss.

Every takeover has a price, whatever it took to make. Beyond that a heal costs CPU seconds, declared
or as measured at the last one of its depth, and a CPU second is worth `Policy.cpu_price`. A head
serves for one window, until the next one is fitted; a new model at least until another may be asked
for, so that its seconds are shared out over these. Beside the prices stands a budget: it makes dear
models wait, however much they promise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from perennial.spec import Costs, Depth, Policy

_DIGITS = 4
"""Of a price: measured seconds differ from run to run, and no decision is to hang on that."""
_HEADS_SHARE = 0.5
"""Of the budget, which heads may take: the rest is saved up for a new model."""
_MOST_DOUBLINGS = 4
"""Of a wait: who waits ever longer has given up, and the model goes stale."""


def backoff(failures: int) -> int:
    """Say how many times as long to wait after so many failures in a row."""
    return int(2 ** min(failures, _MOST_DOUBLINGS))


@dataclass(frozen=True)
class Pricing:
    """A policy's prices and waits, for heals that take so many CPU seconds."""

    policy: Policy
    measured: Costs = field(default_factory=Costs)
    """At the last heal of each depth; None: there was none yet, and it counts as free."""

    def seconds(self, depth: Depth) -> float:
        """CPU seconds that a heal is expected to take."""
        declared = getattr(self.policy.costs, depth)
        known = getattr(self.measured, depth) if declared is None else declared
        return 0.0 if known is None else float(known)

    def of(self, depth: Depth) -> float:
        """Share of a window's loss that a heal has to take away to be worth it."""
        if depth == "retrain":
            takeover, windows = self.policy.retrain_gain, 1 + self.quiet_windows
        else:
            takeover, windows = self.policy.takeover_price, 1
        price = takeover + self.policy.cpu_price * self.seconds(depth) / windows
        return round(price, _DIGITS)

    def objection(self, depth: Depth, gain: float) -> str | None:
        """Say what stands against a heal that is expected to take away a share of the loss."""
        price, seconds = self.of(depth), self.seconds(depth)
        if gain < price:
            return f"less than its price, {price:.1%}"
        if depth != "retrain" and seconds > self._for_heads:
            return f"yet it takes {seconds:.3g} CPU seconds, for which the budget has no room"
        return None

    @property
    def quiet_windows(self) -> int:
        """Windows after a retrain in which no other is asked for: as declared, and until the budget
        has paid for one."""
        left = self._budget - min(self.seconds("correct"), self._for_heads)
        return max(self.policy.retrain_wait, math.ceil(self.seconds("retrain") / left) - 1)

    @property
    def _budget(self) -> float:
        budget = self.policy.cpu_budget
        return math.inf if budget is None else budget.total_seconds()

    @property
    def _for_heads(self) -> float:
        return _HEADS_SHARE * self._budget
