"""The decision about a rollout: a pure function of what the log says.

It may be taken after every row. The test of the loss keeps its error rate under that
(`perennial.rollout.sequence`), so does the test of the sample ratio; the other guardrails are set
so wide that noise does not reach them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from perennial.registry.history import Stage
from perennial.rollout.check import Check
from perennial.rollout.evidence import Evidence
from perennial.rollout.guardrails import guardrails
from perennial.rollout.loss_test import loss_check, slice_checks
from perennial.rollout.stages import next_place
from perennial.spec import Bake, Canary, Rollout, Shadow

Action = Literal["continue", "promote", "roll_back", "inconclusive"]
"""continue: it is too early. promote: the stage is passed; after the last one the challenger
becomes champion, after the bake it is there for good. inconclusive: the time of the last stage
before promotion is over and the test has not decided."""

Move = Literal["stay", "advance", "promote", "await_approval", "finish", "roll_back"]
"""What becomes of the state."""


class Decision(BaseModel):
    """What to do, and every check that it rests on."""

    model_config = ConfigDict(frozen=True)

    action: Action
    reason: str
    checks: tuple[Check, ...]


def decide(evidence: Evidence, rollout: Rollout, stage: Stage) -> Decision:
    """Judge a challenger in the shadow or the canary, or a new champion in its bake.

    Any breach rolls back. Else a stage is passed when enough rows have come (or its time is over),
    and labels, where labels come at all. The last stage before promotion is passed when also the
    loss is shown to be within the margin, and no slice looks worse than that.
    """
    loss = loss_check(evidence.losses, rollout)
    slices = slice_checks(evidence.losses, rollout)
    length = _length(evidence, rollout, stage)
    labels = _labels(evidence, rollout)
    checks = (loss, *slices, *guardrails(evidence, rollout, stage), length, labels)
    breaches = [check.detail for check in checks if check.status == "breach"]
    if breaches:
        return Decision(action="roll_back", reason="; ".join(breaches), checks=checks)
    last = stage != "bake" and next_place(stage, evidence.weight, rollout) is None
    wanted = (loss, *slices, length) if last else (length, labels)
    waiting = [check.detail for check in wanted if check.status == "waiting"]
    if not waiting:
        words = f"{loss.detail}; {length.detail}"
        return Decision(action="promote", reason=words, checks=checks)
    over = evidence.seconds >= _seconds(rollout, stage)
    if over and not last:
        return Decision(action="promote", reason=length.detail, checks=checks)
    action: Action = "inconclusive" if over else "continue"
    return Decision(action=action, reason="; ".join(waiting), checks=checks)


def resolve(decision: Decision, rollout: Rollout, stage: Stage, weight: float, yes: bool) -> Move:
    """Turn a decision into the move that the declaration makes of it.

    Args:
        yes: whether a person has approved of this challenger.
    """
    action = decision.action
    if action == "continue":
        return "stay"
    if action == "roll_back" or (action == "inconclusive" and rollout.inconclusive == "roll_back"):
        return "roll_back"
    if stage == "bake":
        return "finish"
    if next_place(stage, weight, rollout) is not None:
        return "advance"
    return "promote" if yes or rollout.approval == "automatic" else "await_approval"


def _length(evidence: Evidence, rollout: Rollout, stage: Stage) -> Check:
    """Whether a stage has lasted long enough, in rows or in time."""
    wanted, seconds = _rows(rollout, stage), _seconds(rollout, stage)
    enough = evidence.rows >= wanted
    over = evidence.seconds >= seconds
    detail = f"{evidence.rows:,} rows in {evidence.seconds:,.0f} s ({wanted:,} needed)"
    return Check(
        name="rows",
        status="green" if enough or over else "waiting",
        figure=evidence.rows,
        threshold=wanted,
        detail=detail + (", its time is over" if over and not enough else ""),
    )


def _labels(evidence: Evidence, rollout: Rollout) -> Check:
    known = len(evidence.losses)
    late = 0 < known < rollout.labels
    return Check(
        name="labels",
        status="waiting" if late else "green",
        figure=known,
        threshold=rollout.labels,
        detail=f"{known:,} labelled rows" + (f" of {rollout.labels:,} wanted" if late else ""),
    )


def _rows(rollout: Rollout, stage: Stage) -> int:
    declared = _declared(rollout, stage)
    return 0 if declared is None else declared.rows


def _seconds(rollout: Rollout, stage: Stage) -> float:
    """Time of a stage; a stage that was taken out of the declaration is over at once."""
    declared = _declared(rollout, stage)
    return 0.0 if declared is None else declared.time.total_seconds()


def _declared(rollout: Rollout, stage: Stage) -> Shadow | Canary | Bake | None:
    match stage:
        case "shadow":
            return rollout.shadow
        case "canary":
            return rollout.canary
        case "bake":
            return rollout.bake
        case _:
            return None
