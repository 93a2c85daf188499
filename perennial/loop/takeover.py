"""How a version that passed its gate takes over, or steps back: one step of its rollout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from perennial.registry import State
from perennial.rollout.decision import Decision, Move, decide, resolve
from perennial.rollout.evidence import Evidence
from perennial.rollout.moves import take_step
from perennial.rollout.stages import next_place
from perennial.spec import Rollout
from perennial.store import Store
from perennial.store.lease import utc_now

_GATED = Decision(action="promote", reason="passed its gate", checks=())


@dataclass(frozen=True, eq=False)
class Step:
    """What is to become of a rollout, and what it rests on."""

    evidence: Evidence
    decision: Decision
    move: Move

    @classmethod
    def first(cls) -> Step:
        """Of a version that has just been registered: to its first stage, or to champion."""
        return cls(Evidence(), _GATED, "advance")

    @classmethod
    def of(cls, evidence: Evidence, rollout: Rollout, seen: State) -> Step:
        """Judge what a look has seen.

        Args:
            seen: the state that the look is about.
        """
        decision = decide(evidence, rollout, seen.stage)
        approved = seen.approved is not None and seen.approved == seen.challenger
        move = resolve(decision, rollout, seen.stage, seen.weight, approved)
        return cls(evidence, decision, move)

    @property
    def waits(self) -> bool:
        """Whether it changes nothing yet."""
        return self.move in ("stay", "await_approval")

    @property
    def reason(self) -> str:
        """Why, for the history."""
        reason = self.decision.reason
        if self.decision.action != "inconclusive":
            return reason
        means = self.move.replace("_", " ")
        return f"inconclusive, which is declared to mean {means}: {reason}"

    def take(
        self,
        store: Store,
        seen: State,
        rollout: Rollout,
        *,
        by: str,
        details: dict[str, Any] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> State | None:
        """Change the state, if it still is the one that was seen; errors as `take_step`.

        Returns:
            The new state; None where somebody else changed it first.
        """
        told = {
            "rows": self.evidence.rows,
            "labelled_rows": len(self.evidence.losses),
            "checks": [check.model_dump(mode="json") for check in self.decision.checks],
        }
        return take_step(
            store,
            seen,
            self.move,
            rollout,
            reason=self.reason,
            by=by,
            details={**told, **(details or {})},
            clock=clock,
        )


def takes_over_at_once(rollout: Rollout) -> bool:
    """Whether no stage lies between a registration and the promotion."""
    return next_place("registered", 0.0, rollout) is None
