"""Keep or heal: a pure function of the verdicts since the last heal.

Labels are the stronger evidence, because only they show whether the model suffers: where they have
come for the newest windows, a rise of the loss confirms and an input shift alone does not. Where
they are late or absent, an input shift that lasts confirms. A loss that keeps its promise may still
be far from what newer rows could teach, which no test of the champion alone can show: so after some
windows without a heal a candidate is asked for anyway, and the gate has the last word.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from perennial.drift.detector import InputVerdict
from perennial.drift.loss import LossVerdict, pool
from perennial.spec import Policy


class Verdicts(BaseModel):
    """What was learned in one window: of its inputs, and of older windows' labels that came."""

    model_config = ConfigDict(frozen=True)

    window: str
    input: InputVerdict | None = None
    losses: tuple[LossVerdict, ...] = ()


class HealRecord(BaseModel):
    """What became of earlier requests to heal."""

    model_config = ConfigDict(frozen=True)

    windows_since: int | None = None
    """Windows checked since the last request was answered, this one included; None: never asked."""
    refused: int = 0
    """Candidates in a row that the gate refused, or that were rolled back, up to now."""


class Decision(BaseModel):
    """What the policy makes of the verdicts."""

    model_config = ConfigDict(frozen=True)

    action: Literal["keep", "heal"]
    ground: Literal["loss", "input", "age", "none"]
    """Which evidence it rests on."""
    reason: str
    windows: tuple[str, ...] = ()
    """The windows that bear it out."""
    features: tuple[str, ...] = ()
    """The features that carry the shift, the strongest first."""
    loss_ratio: float | None = None
    """Loss over promise in those windows."""


def decide(history: Sequence[Verdicts], heals: HealRecord, policy: Policy) -> Decision:
    """Judge whether the champion needs a heal now.

    Args:
        history: verdicts on the champion since it took over, the oldest first, the present window
            last.
        heals: when a heal was last asked for, and how often in a row the gate refused.
        policy: levels, persistence, cool-down.
    """
    quiet = quiet_windows(policy, heals.refused)
    if heals.windows_since is not None and heals.windows_since <= quiet:
        return _keep(f"window {heals.windows_since} of {quiet} in which no heal is asked for again")
    losses = [verdict for seen in history for verdict in seen.losses]
    if not (losses and _are_recent(history, policy)):
        return _by_input(history, policy)
    decision = _by_loss(losses, _lasting(history, policy), policy)
    age = len(history) if heals.windows_since is None else heals.windows_since
    if decision.action == "keep" and age >= policy.refresh * 2**heals.refused:
        words = f"no heal in {_windows(age)}: newer rows may teach more"
        return decision.model_copy(update={"action": "heal", "ground": "age", "reason": words})
    return decision


def quiet_windows(policy: Policy, refused: int) -> int:
    """Windows after an answered request in which none is made: the cool-down, doubled with every
    candidate in a row that was refused but the first."""
    return policy.cooldown if refused == 0 else max(1, policy.cooldown) * 2 ** (refused - 1)


def _are_recent(history: Sequence[Verdicts], policy: Policy) -> bool:
    """Labels count as there while some came in the last few windows."""
    return any(seen.losses for seen in history[-(policy.persistence + 1) :])


def _by_loss(losses: Sequence[LossVerdict], moved: dict[str, str], policy: Policy) -> Decision:
    """A rise that is clear in the newest window is enough; a smaller one has to last."""
    newest = losses[-1:]
    lasting = losses[-policy.persistence :]
    together = pool(lasting, policy)
    persistent = all(verdict.ratio >= 1 + policy.loss_increase for verdict in lasting)
    if len(lasting) == policy.persistence and persistent and together.risen:
        return _heal_for_loss(lasting, moved, policy)
    if newest[0].risen:
        return _heal_for_loss(newest, moved, policy)
    return _keep(_compare(together, len(lasting)), loss_ratio=together.ratio)


def _heal_for_loss(
    verdicts: Sequence[LossVerdict], moved: dict[str, str], policy: Policy
) -> Decision:
    together = pool(verdicts, policy)
    return Decision(
        action="heal",
        ground="loss",
        reason="; ".join([_compare(together, len(verdicts)), *moved.values()]),
        windows=tuple(verdict.window for verdict in verdicts),
        features=tuple(moved),
        loss_ratio=together.ratio,
    )


def _compare(together: LossVerdict, windows: int) -> str:
    return (
        f"loss {together.ratio:.2f} times its promise ({together.loss:.4g} against "
        f"{together.promise.mean:.4g}) over {_windows(windows)}, p {together.p_value:.2g}"
    )


def _by_input(history: Sequence[Verdicts], policy: Policy) -> Decision:
    moved = _lasting(history, policy)
    if not moved:
        return _keep(f"no feature shifted for {_windows(policy.persistence)} in a row")
    return Decision(
        action="heal",
        ground="input",
        reason=f"no labels, and for {_windows(policy.persistence)}: " + "; ".join(moved.values()),
        windows=tuple(seen.window for seen in history[-policy.persistence :]),
        features=tuple(moved),
    )


def _lasting(history: Sequence[Verdicts], policy: Policy) -> dict[str, str]:
    """Features shifted in each of the newest windows, with what changed in the last of them."""
    inputs = [seen.input for seen in history[-policy.persistence :] if seen.input is not None]
    if len(inputs) < policy.persistence:
        return {}
    everywhere = set.intersection(*({v.label for v in seen.culprits} for seen in inputs))
    return {v.label: f"{v.label}: {v.detail}" for v in inputs[-1].culprits if v.label in everywhere}


def _keep(reason: str, loss_ratio: float | None = None) -> Decision:
    return Decision(action="keep", ground="none", reason=reason, loss_ratio=loss_ratio)


def _windows(count: int) -> str:
    return "1 window" if count == 1 else f"{count} windows"
