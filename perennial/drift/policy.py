"""Keep, heal (and how deep) or hold: a pure function of the verdicts on one base.

Labels are the stronger evidence, because only they show whether the model suffers, and whether it
has to: where they have come for the newest windows, what heads fitted on the newest rows do on rows
that they have not seen (`perennial.evaluation.mixing`) decides. A head is put on wherever it takes
away as much of the loss as it costs (`perennial.drift.pricing`), and taken off where it has earned
no share. A new model costs a training: it is worth that once heads carry a good part of the work,
since then the base no longer knows its world. A loss that has risen where no head does better is
harder rows, not a worse model, and is left alone. Where labels are late or absent, an input shift
that lasts confirms, if the loss that is estimated for such inputs has risen too; where no label has
come since the model was trained, a retrain would learn nothing, and labels are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from perennial.drift.decision import Decision, HealRecord, Verdicts
from perennial.drift.loss import LossVerdict, pool
from perennial.drift.pricing import Pricing, backoff
from perennial.drift.reasons import (
    Known,
    correction_worth,
    corrections_tried,
    count_windows,
    loss_compared,
    parts_of,
    percent,
)
from perennial.evaluation.mixing import HeadTrial, expected_gain, gain, mix
from perennial.spec import Depth, Policy

WEIGHED = 6
"""How many of the newest trials say whether a retrain is due."""
MIN_TRIALS = 3
_CLASS_ROWS = 90
"""Since a new class came: of fewer, those that a retrain leaves to its gate are nearly all."""
_SIGNIFICANT = 1.65
"""Student's t from which on a gain is no chance: one-sided 5% for many rows."""


def decide(history: Sequence[Verdicts], heals: HealRecord, policy: Policy) -> Decision:
    """Judge whether the champion needs a heal now, and of what depth.

    Args:
        history: verdicts since the champion's base took over, the oldest first, the present window
            last.
        heals: when a heal was last asked for, and how often in a row one failed. What live traffic
            has undone is not brought back by the same rows: the wait grows with failures in a row.
        policy: levels, persistence, cool-down.
    """
    quiet = max(policy.cooldown, backoff(heals.undone) - 1)
    if heals.windows_since is not None and heals.windows_since <= quiet:
        words = (
            f"no heal is asked for yet: window {heals.windows_since} of {quiet} after the last one"
        )
        return _keep(words, put_off=True)
    losses = [verdict for seen in history for verdict in seen.losses]
    trials = [trial for seen in history for trial in seen.trials]
    if not labels_are_recent(history, policy):
        return _by_input(history, heals, policy)
    moved = _lasting(history)
    foreign = _by_classes(history, heals, policy)
    if foreign is not None:
        return foreign
    if trials:
        windows = len(history) if heals.windows is None else heals.windows
        return _by_trials(trials, losses, moved, heals, policy, windows, _dates(history))
    return _by_loss(losses, moved, heals, policy, _dates(history))


def labels_are_recent(history: Sequence[Verdicts], policy: Policy) -> bool:
    """Labels count as there while some came in the last few windows."""
    newest = history[-(policy.persistence + 1) :]
    return any(seen.losses or seen.trials for seen in newest)


def _by_classes(history: Sequence[Verdicts], heals: HealRecord, policy: Policy) -> Decision | None:
    """A class that the base does not know no head can give it: only a new model."""
    labelled = [seen for seen in history if seen.losses or seen.unknown]
    run = list(takewhile(lambda seen: seen.unknown > 0, reversed(labelled)))
    rows = sum(verdict.rows for seen in run for verdict in seen.losses)
    share = sum(seen.unknown for seen in run) / max(len(run), 1)
    enough = len(run) >= MIN_TRIALS and rows >= _CLASS_ROWS
    if not enough or _no_retrain(share, heals, policy):
        return None
    return Decision(
        action="heal",
        depth="retrain",
        ground="loss",
        reason=f"{share:.1%} of the labels of {count_windows(len(run))} are of classes that the "
        "model has never seen",
        windows=(run[-1].window, run[0].window),
        **_bill("retrain", heals, policy),
    )


def _by_trials(
    trials: Sequence[HeadTrial],
    losses: Sequence[LossVerdict],
    moved: dict[str, str],
    heals: HealRecord,
    policy: Policy,
    windows: int,
    known: Known,
) -> Decision:
    weighed = list(trials[-WEIGHED:])
    found, mixture = gain(weighed), mix(trials)
    alarm = _alarm(losses, policy)
    evidence: dict[str, Any] = {
        "ground": "heads",
        "windows": (weighed[0].window, weighed[-1].window),
        "features": tuple(moved),
        "loss_ratio": None if alarm is None else alarm.ratio,
        "gain": found,
    }
    due = (
        found.windows >= MIN_TRIALS
        and found.share >= policy.retrain_gain
        and found.t >= _SIGNIFICANT
    )
    put_off = _no_retrain(found.share, heals, policy)
    if due and put_off is None and _base_had_its_time(heals, policy, windows):
        words = f"the model no longer knows its world: {corrections_tried(found)}"
        reason = "; ".join([words, *moved.values()])
        evidence |= _bill("retrain", heals, policy)
        return Decision(action="heal", depth="retrain", reason=reason, **evidence)
    if mixture.depth is not None and mixture.counts:
        expected = expected_gain(trials, mixture)
        evidence |= _bill(mixture.depth, heals, policy)
        worth = correction_worth(mixture.depth, expected)
        objection = _pricing(heals, policy).objection(mixture.depth, expected)
        if objection is not None:
            return _keep(f"{worth}, {objection}", **evidence)
        tried = f"the gate will try it ({parts_of(mixture)})"
        waiting = put_off if due else None
        reason = "; ".join(filter(None, [worth, tried, waiting, *moved.values()]))
        return Decision(
            action="heal", depth=mixture.depth, mixture=mixture, reason=reason, **evidence
        )
    if heals.headed:
        reason = f"the correction of the model no longer helps: {corrections_tried(found)}"
        return Decision(action="heal", depth="unhead", reason=reason, **evidence)
    if alarm is not None and alarm.risen:
        return _keep(
            "harder rows, not a worse model: what is fitted on the newest rows does no better, "
            f"though {loss_compared(alarm, known)}",
            **evidence,
        )
    return _keep(f"no correction is worth it: {corrections_tried(found)}", **evidence)


def _base_had_its_time(heals: HealRecord, policy: Policy, windows: int) -> bool:
    """A first base is given time too: heads bridge it, and a new one has little more to learn."""
    waited = windows if heals.retrain_windows is None else heals.retrain_windows
    return waited > _pricing(heals, policy).quiet_windows


def _pricing(heals: HealRecord, policy: Policy) -> Pricing:
    return Pricing(policy, heals.costs, heals.refused)


def _bill(depth: Depth, heals: HealRecord, policy: Policy) -> dict[str, Any]:
    """What a heal costs, as evidence."""
    pricing = _pricing(heals, policy)
    return {"price": pricing.of(depth), "cpu_seconds": pricing.seconds(depth)}


def _alarm(losses: Sequence[LossVerdict], policy: Policy) -> LossVerdict | None:
    """The newest loss, or that of the last few windows together where each of them is high."""
    if not losses:
        return None
    lasting = losses[-policy.persistence :]
    high = all(verdict.ratio >= 1 + policy.loss_increase for verdict in lasting)
    if len(lasting) == policy.persistence and high and not losses[-1].risen:
        return pool(lasting, policy)
    return losses[-1]


def _by_loss(
    losses: Sequence[LossVerdict],
    moved: dict[str, str],
    heals: HealRecord,
    policy: Policy,
    known: Known,
) -> Decision:
    """Where no head can be tried: a rise that is clear in the newest window is enough, a smaller
    one has to last."""
    alarm = _alarm(losses, policy)
    if alarm is None:
        return _keep("no labelled window to judge by")
    words = loss_compared(alarm, known)
    if not alarm.risen:
        return _keep(words, loss_ratio=alarm.ratio)
    put_off = _no_retrain(1 - 1 / alarm.ratio, heals, policy)
    if put_off is not None:
        return _keep(f"{words}; {put_off}", loss_ratio=alarm.ratio, put_off=True)
    return Decision(
        action="heal",
        depth="retrain",
        ground="loss",
        reason="; ".join([words, *moved.values()]),
        windows=(alarm.window,),
        features=tuple(moved),
        loss_ratio=alarm.ratio,
        **_bill("retrain", heals, policy),
    )


def _by_input(history: Sequence[Verdicts], heals: HealRecord, policy: Policy) -> Decision:
    moved = _lasting(history)
    if not moved:
        lasting = count_windows(policy.persistence)
        return _keep(f"no labels have come, and no input has moved for {lasting} in a row")
    words = (
        f"inputs have moved for {count_windows(policy.persistence)}, and no labels have come: "
        + "; ".join(moved.values())
    )
    evidence: dict[str, Any] = {"features": tuple(moved)}
    alarm = history[-1].estimated
    if alarm is not None:
        words = f"{words}; by an estimate {loss_compared(alarm, _dates(history))}"
        evidence["loss_ratio"] = alarm.ratio
        if not alarm.risen:
            return _keep(words, **evidence)
        if not any(seen.losses for seen in history):
            words = f"labels are needed, the model has learned from all that have come; {words}"
            return _keep(words, wants_labels=True, **evidence)
    put_off = _no_retrain(1.0 if alarm is None else 1 - 1 / alarm.ratio, heals, policy)
    if put_off is not None:
        return _keep(f"{words}; {put_off}", put_off=True, **evidence)
    windows = tuple(seen.window for seen in history[-policy.persistence :])
    evidence |= {"ground": "input", "windows": windows, **_bill("retrain", heals, policy)}
    return Decision(action="heal", depth="retrain", reason=words, **evidence)


def _no_retrain(gain: float, heals: HealRecord, policy: Policy) -> str | None:
    """Why no retrain is asked for that could take away so much of the loss, unless one may be.

    Without heads to bridge it there is no time to be given to a first base.
    """
    objection = _pricing(heals, policy).objection("retrain", gain)
    if objection is not None:
        return f"a retrain could cut the loss by {percent(gain)}, {objection}"
    quiet, waited = _pricing(heals, policy).quiet_windows, heals.retrain_windows
    if waited is None or waited > quiet:
        return None
    failed = f", longer for {heals.refused} that failed" if heals.refused else ""
    return f"no retrain is asked for yet: window {waited} of {quiet} after the last one{failed}"


def _lasting(history: Sequence[Verdicts]) -> dict[str, str]:
    """What the newest look at the inputs confirms, and what changed."""
    newest = history[-1].input if history else None
    lasting = () if newest is None else newest.lasting
    return {v.label: f"{v.label}: {v.detail}" for v in lasting}


def _keep(reason: str, **evidence: object) -> Decision:
    return Decision.model_validate(
        {"ground": "none", **evidence, "action": "keep", "reason": reason}
    )


def _dates(history: Sequence[Verdicts]) -> Known:
    return {seen.window: seen.dates for seen in history}
