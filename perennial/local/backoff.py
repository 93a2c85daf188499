"""How long to wait before a dead child is started again."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
HEALTHY_AFTER = 60.0


@dataclass(frozen=True)
class Backoff:
    """Doubling delays, in seconds; a child that lived long enough starts over at the first."""

    delay: float = FIRST_DELAY

    def after(self, lifetime: float) -> tuple[float, Backoff]:
        """Give the wait for a child that died ``lifetime`` seconds old, and what follows it."""
        delay = FIRST_DELAY if lifetime >= HEALTHY_AFTER else self.delay
        return delay, Backoff(min(delay * 2, LONGEST_DELAY))
