"""Keep, heal (and how deep) or hold: a pure function of the verdicts on one champion.

Labels are the stronger evidence, because only they show what a model is worth. Where they have come
for the newest windows, what the members of the champion's mixture answered live gives each its
share (`perennial.evaluation.mixing`), and a heal is asked for as soon as other shares, or small
models of newer rows, are expected to take away as much of the loss as they cost
(`perennial.drift.pricing`). A new model beside them is due by the clock, within the budget; later,
where such models have earned nothing and the loss has not risen. Where labels are late or absent,
an input shift that lasts confirms, if the loss that is estimated for such inputs has risen too;
where no label has come since the model was trained, a retrain would learn nothing, and labels are
asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from perennial.drift.decision import Decision, HealRecord, Verdicts
from perennial.drift.loss import LossVerdict, pool
from perennial.drift.pricing import Pricing, backoff
from perennial.drift.reasons import Known, count_windows, loss_compared, parts_of, percent
from perennial.evaluation.division import MIN_HEAD_ROWS
from perennial.evaluation.mixing import (
    BASES,
    HEADS,
    MemberErrors,
    Mixture,
    expected_gain,
    weigh,
)
from perennial.spec import Depth, MemberName, Policy

MIN_WINDOWS = 3
"""In a row that have labels of a class which the model has never seen."""
MIN_SHOWN = 5
"""Windows that small models must have answered live before their worth decides whether they are
fitted again: where labels are late, that takes a while."""
_CLASS_ROWS = 90
"""Since a new class came: of fewer, those that a retrain leaves to its gate are nearly all."""
_IDLE = 2
"""Times the usual wait, after which a new model is due where such models have earned nothing."""
_ENOUGH = 20
"""Windows with labels to learn a new model from, however long it has to wait: no more are
remembered than some sixty."""


def decide(
    history: Sequence[Verdicts],
    record: Sequence[MemberErrors],
    heals: HealRecord,
    policy: Policy,
) -> Decision:
    """Judge whether the champion needs a heal now, and of what depth.

    Args:
        history: verdicts since the newest of the champion's trained models took over, the oldest
            first, the present window last.
        record: what the members answered live, in windows whose labels have come, the oldest first;
            since the mixture began.
        heals: when a heal was last asked for. What live traffic has undone is not brought back by
            the same rows: the wait grows with failures in a row.
        policy: levels, persistence, cool-down.
    """
    quiet = max(policy.cooldown, backoff(heals.undone) - 1)
    if heals.windows_since is not None and heals.windows_since <= quiet:
        words = (
            f"no heal is asked for yet: window {heals.windows_since} of {quiet} after the last one"
        )
        return _keep(words, put_off=True)
    losses = [verdict for seen in history for verdict in seen.losses]
    if not labels_are_recent(history, policy):
        return _by_input(history, heals, policy)
    moved = _lasting(history)
    foreign = _by_classes(history, heals, policy)
    if foreign is not None:
        return foreign
    if record:
        windows = len(history) if heals.windows is None else heals.windows
        return _by_record(record, losses, moved, heals, policy, windows, _dates(history))
    return _by_loss(losses, moved, heals, policy, _dates(history))


def labels_are_recent(history: Sequence[Verdicts], policy: Policy) -> bool:
    """Labels count as there while some came in the last few windows."""
    newest = history[-(policy.persistence + 1) :]
    return any(seen.losses or seen.errors for seen in newest)


def _by_classes(history: Sequence[Verdicts], heals: HealRecord, policy: Policy) -> Decision | None:
    """With a class that no member knows none can answer: only a model that begins anew."""
    labelled = [seen for seen in history if seen.losses or seen.unknown]
    run = list(takewhile(lambda seen: seen.unknown > 0, reversed(labelled)))
    rows = sum(verdict.rows for seen in run for verdict in seen.losses)
    share = sum(seen.unknown for seen in run) / max(len(run), 1)
    enough = len(run) >= MIN_WINDOWS and rows >= _CLASS_ROWS
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


def _by_record(
    record: Sequence[MemberErrors],
    losses: Sequence[LossVerdict],
    moved: dict[str, str],
    heals: HealRecord,
    policy: Policy,
    windows: int,
    known: Known,
) -> Decision:
    mixture = weigh(record, policy.harm)
    alarm = _alarm(losses, policy)
    gain = max(expected_gain(record, mixture, heals.standing), _saved(record, mixture, HEADS))
    evidence: dict[str, Any] = {
        "ground": "members",
        "mixture": mixture,
        "late": record[-1].late,
        "windows": (record[0].window, record[-1].window),
        "features": tuple(moved),
        "loss_ratio": None if alarm is None else alarm.ratio,
    }
    risen = alarm is not None and alarm.risen
    due = _new_model_is_due(record, mixture, heals, policy, windows, risen=risen)
    there = [*record[-1].members, *HEADS, *(BASES[1:2] if due else ())]
    shares = f"shares by what each has answered live: {parts_of(mixture.among(there))}"
    if due:
        evidence |= {"gain": gain, **_bill("retrain", heals, policy)}
        since = count_windows(min(windows, len(record)))
        words = f"a new model is due, {since} have come with their labels"
        if risen and alarm is not None:
            words = f"{words}; {loss_compared(alarm, known)}"
        return Decision(
            action="heal",
            depth="retrain",
            reason="; ".join([words, shares, *moved.values()]),
            **evidence,
        )
    if sum(errors.rows for errors in record) < MIN_HEAD_ROWS:
        return _keep("too few labels have come to correct the model by", **evidence)
    evidence |= {"gain": gain, **_bill("correct", heals, policy)}
    shown = sum(not set(HEADS).isdisjoint(errors.members) for errors in record)
    # Their budget counts before their worth is known, too.
    if shown < MIN_SHOWN and _pricing(heals, policy).objection("correct", 1.0) is None:
        words = "small models of the newest rows are tried beside the model"
        if shown:
            words = f"{words}, {count_windows(shown)} of {MIN_SHOWN} have shown what they are worth"
        reason = "; ".join([words, *moved.values()])
        return Decision(action="heal", depth="correct", reason=reason, **evidence)
    objection = _pricing(heals, policy).objection("correct", gain)
    if objection is None:
        words = f"newer small models and shares are worth {percent(gain)} of the loss"
        reason = "; ".join([words, shares, *moved.values()])
        return Decision(action="heal", depth="correct", reason=reason, **evidence)
    words = f"newer small models and shares are worth {percent(gain)} of the loss, {objection}"
    if risen and alarm is not None:
        words = (
            "harder rows, not a worse model: what is fitted on the newest rows does no better, "
            f"though {loss_compared(alarm, known)}; {words}"
        )
    return _keep(words, **evidence)


def _new_model_is_due(
    record: Sequence[MemberErrors],
    mixture: Mixture,
    heals: HealRecord,
    policy: Policy,
    windows: int,
    *,
    risen: bool,
) -> bool:
    """By the clock; later, where earlier ones have earned nothing and the loss has not risen."""
    pricing = _pricing(heals, policy)
    waited = windows if heals.retrain_windows is None else heals.retrain_windows
    quiet = pricing.quiet_windows
    tried = heals.retrain_windows is not None
    new: tuple[MemberName, ...] = BASES[1:]
    if tried and not risen and _saved(record, mixture, new) < policy.takeover_price:
        quiet = _IDLE * (quiet + 1) - 1
    return waited > quiet and len(record) > min(quiet, _ENOUGH)


def _saved(
    record: Sequence[MemberErrors], mixture: Mixture, members: Sequence[MemberName]
) -> float:
    """Share of the loss that some members have saved: against the others without them."""
    shares = {name: share for name, share in mixture.parts.items() if name not in members}
    whole = sum(shares.values())
    if not whole:
        without = Mixture.alone()
    else:
        without = Mixture(**{name: share / whole for name, share in shares.items()})
    return expected_gain(record, mixture, without)


def _pricing(heals: HealRecord, policy: Policy) -> Pricing:
    return Pricing(policy, heals.costs)


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
    """Where nothing is known of the members: a rise that is clear in the newest window is enough, a
    smaller one has to last."""
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
    """Why no retrain is asked for that could take away so much of the loss; None: one may be."""
    objection = _pricing(heals, policy).objection("retrain", gain)
    if objection is not None:
        return f"a retrain could cut the loss by {percent(gain)}, {objection}"
    quiet, waited = _pricing(heals, policy).quiet_windows, heals.retrain_windows
    if waited is None or waited > quiet:
        return None
    return f"no retrain is asked for yet: window {waited} of {quiet} after the last one"


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
