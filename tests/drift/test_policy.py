"""The policy heals as deep as the evidence goes, waits after a heal, backs off from refusals."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from perennial.datasets.dates import Dates
from perennial.drift.decision import HealRecord, Verdicts
from perennial.drift.policy import decide
from perennial.evaluation.mixing import Mixture, try_heads
from perennial.spec import Costs, Policy
from perennial.store.layout import window_name
from tests.drift.verdicts import inputs, loss

POLICY = Policy(persistence=2, cooldown=1, loss_increase=0.1, loss_p_value=0.1, retrain_wait=4)
NEVER = HealRecord()


def seen(*ratios: float, shifted: tuple[str, ...] = ()) -> list[Verdicts]:
    return [
        Verdicts(
            window=window_name(i),
            input=inputs(*shifted),
            losses=(loss(ratio).model_copy(update={"window": window_name(i)}),),
        )
        for i, ratio in enumerate(ratios, 1)
    ]


def blind(*shifted: tuple[str, ...]) -> list[Verdicts]:
    return [Verdicts(window=f"w{i:06d}", input=inputs(*s)) for i, s in enumerate(shifted)]


def test_a_loss_that_stays_risen_is_healed_and_named() -> None:
    decision = decide(seen(1.0, 1.5, 1.6), NEVER, POLICY)
    assert (decision.action, decision.ground) == ("heal", "loss")
    assert decision.loss_ratio == pytest.approx(1.55)
    assert decision.reason.startswith("the loss is 1.55 times its reference in windows 2 to 3:")


def test_a_loss_is_told_with_the_dates_of_its_windows() -> None:
    dated = [
        verdicts.model_copy(
            update={"dates": Dates(first=datetime(2026, 3, day), last=datetime(2026, 3, day + 1))}
        )
        for day, verdicts in enumerate(seen(1.0, 1.5, 1.6), 1)
    ]
    decision = decide(dated, NEVER, POLICY)
    assert "in windows 2 to 3 (2 Mar - 4 Mar 2026):" in decision.reason


def test_a_drift_is_one_only_where_inputs_have_moved() -> None:
    assert decide(seen(1.5, 1.6), NEVER, POLICY).title == "Heal asked for"
    assert decide(seen(1.5, 1.6, shifted=("heat",)), NEVER, POLICY).title == "Drift confirmed"


def test_features_that_moved_with_the_loss_are_named() -> None:
    decision = decide(seen(1.5, 1.6, shifted=("heat",)), NEVER, POLICY)
    assert decision.features == ("heat",)
    assert "heat: mean 1 -> 2" in decision.reason


def test_a_rise_that_is_clear_in_one_window_needs_no_second() -> None:
    clear = loss(1.6).model_copy(update={"risen": True, "window": "w000009"})
    decision = decide([*seen(1.0), Verdicts(window="w", losses=(clear,))], NEVER, POLICY)
    assert decision.action == "heal"
    assert decision.windows == ("w000009",)


@pytest.mark.parametrize("ratios", [(), (1.6,), (1.6, 1.0), (1.0, 1.6), (1.05, 1.05)])
def test_a_loss_that_does_not_last_or_is_small_is_kept(ratios: tuple[float, ...]) -> None:
    assert decide(seen(*ratios), NEVER, POLICY).action == "keep"


def test_a_rise_within_its_noise_is_kept() -> None:
    noisy = [Verdicts(window="w", losses=(loss(1.5, stderr=2.0),)) for _ in range(2)]
    assert decide(noisy, NEVER, POLICY).action == "keep"


def test_an_input_shift_that_costs_nothing_is_kept() -> None:
    decision = decide(seen(1.0, 1.0, 1.0, shifted=("heat",)), NEVER, POLICY)
    assert decision.action == "keep"


def test_without_labels_a_lasting_input_shift_is_healed_and_named() -> None:
    decision = decide(blind(("heat", "wind"), ("heat",)), NEVER, POLICY)
    assert (decision.action, decision.ground) == ("heal", "input")
    assert decision.features == ("heat",)
    assert "heat: mean 1 -> 2" in decision.reason


@pytest.mark.parametrize(
    ("risen", "labelled", "action", "wants_labels"),
    [
        (False, True, "keep", False),
        (True, True, "heal", False),
        (True, False, "keep", True),
    ],
)
def test_without_labels_a_shift_is_acted_on_where_the_estimated_loss_has_risen(
    risen: bool, labelled: bool, action: str, wants_labels: bool
) -> None:
    estimated = loss(1.5).model_copy(update={"risen": risen})
    silent = [v.model_copy(update={"estimated": estimated}) for v in blind(*[("heat",)] * 3)]
    decision = decide((seen(1.0) if labelled else []) + silent, NEVER, POLICY)
    assert (decision.action, decision.wants_labels) == (action, wants_labels)
    assert "by an estimate the loss is 1.50 times its reference" in decision.reason
    assert decision.features == ("heat",)


def test_an_estimate_alone_confirms_nothing() -> None:
    estimated = loss(1.5).model_copy(update={"risen": True})
    silent = [v.model_copy(update={"estimated": estimated}) for v in blind((), ())]
    assert decide(seen(1.0) + silent, NEVER, POLICY).action == "keep"


def test_without_labels_a_shift_that_is_not_confirmed_is_kept() -> None:
    assert decide(blind(("heat",), ()), NEVER, POLICY).action == "keep"
    newest = blind(("heat",))[0].input
    assert newest is not None
    passing = [v.model_copy(update={"confirmed": False}) for v in newest.features]
    once = Verdicts(window="w", input=newest.model_copy(update={"features": tuple(passing)}))
    assert decide([once], NEVER, POLICY).action == "keep"


def test_labels_that_stopped_coming_give_way_to_the_inputs() -> None:
    history = seen(1.0) + blind(("heat",), ("heat",), ("heat",))
    assert decide(history, NEVER, POLICY).ground == "input"


def test_nothing_is_asked_for_during_the_cool_down() -> None:
    history = seen(2.0, 2.0)
    assert decide(history, HealRecord(windows_since=1), POLICY).action == "keep"
    assert decide(history, HealRecord(windows_since=2), POLICY).action == "heal"


def test_rollbacks_in_a_row_make_heals_wait_but_not_for_ever() -> None:
    history = seen(2.0, 2.0)
    assert decide(history, HealRecord(windows_since=7, undone=3), POLICY).action == "keep"
    assert decide(history, HealRecord(windows_since=8, undone=3), POLICY).action == "heal"
    assert decide(history, HealRecord(windows_since=15, undone=50), POLICY).action == "keep"
    assert decide(history, HealRecord(windows_since=16, undone=50), POLICY).action == "heal"


def test_every_refusal_in_a_row_doubles_the_wait() -> None:
    history = seen(2.0, 2.0)
    assert decide(history, HealRecord(retrain_windows=16, refused=2), POLICY).action == "keep"
    assert decide(history, HealRecord(retrain_windows=17, refused=2), POLICY).action == "heal"


def tried(*shares: float, asked: float = 0.0, ratio: float = 1.0) -> list[Verdicts]:
    """Windows on which the correction took a share of the base's errors away; ``asked``: what part
    of it was in the mixture then."""
    rng = np.random.default_rng(0)
    history = []
    for number, share in enumerate(shares):
        y = rng.normal(size=200)
        idle = [np.zeros((200, 1))] * 2
        heads = [*idle, share * y[:, None] + rng.normal(0, 0.05, (200, 1))]
        window = f"w{number:06d}"
        base = np.zeros((200, 1))
        trial = try_heads(window, "regression", y, base, heads, Mixture(correct=asked))
        history.append(Verdicts(window=window, losses=(loss(ratio),), trials=(trial,)))
    return history


def test_a_correction_is_told_by_what_it_would_do_and_its_parts_behind() -> None:
    reason = decide(tried(0.5, 0.5, 0.5), NEVER, POLICY).reason
    assert reason == (
        "a small correction would cut the loss by 75%; the gate will try it (residual model 100%)"
    )


def test_a_head_that_helps_is_put_on_with_the_share_that_it_has_earned() -> None:
    decision = decide(tried(0.5, 0.5, 0.5), NEVER, POLICY)
    assert (decision.action, decision.depth, decision.ground) == ("heal", "correct", "heads")
    assert decision.mixture is not None
    assert decision.mixture.correct > 0.5
    assert decision.name == "correct"


def test_a_head_that_does_not_help_is_not_put_on() -> None:
    assert decide(tried(0.0, 0.0, 0.0), NEVER, POLICY).action == "keep"
    assert decide(tried(-0.5, -0.5), NEVER, POLICY).action == "keep"


def test_a_head_that_stands_in_for_a_retrain_says_why_none_is_asked_for() -> None:
    waits = HealRecord(retrain_windows=3, refused=1, headed=True)
    decision = decide(tried(0.5, 0.5, 0.5, asked=1.0), waits, POLICY)
    assert decision.depth == "correct"
    assert (
        "no retrain is asked for yet: window 3 of 8 after the last one, longer for 1 that"
        in decision.reason
    )
    small = decide(tried(0.02, 0.02, 0.02, asked=1.0), waits, POLICY)
    assert "no retrain is asked for" not in small.reason


def test_a_head_that_stops_helping_is_taken_off() -> None:
    decision = decide(tried(-0.5, -0.5), HealRecord(headed=True), POLICY)
    assert (decision.action, decision.depth) == ("heal", "unhead")


def test_a_rise_of_the_loss_that_nothing_can_lower_is_left_alone() -> None:
    history = tried(0.0, 0.0, 0.0, ratio=1.6)
    history[-1] = history[-1].model_copy(
        update={"losses": (loss(1.6).model_copy(update={"risen": True}),)}
    )
    decision = decide(history, NEVER, POLICY)
    assert decision.action == "keep"
    assert "harder rows" in decision.reason


def test_a_head_worth_less_than_a_takeover_is_not_put_on() -> None:
    dear = POLICY.model_copy(update={"takeover_price": 0.9})
    decision = decide(tried(0.5, 0.5, 0.5), NEVER, dear)
    assert decision.action == "keep"
    assert "less than its price, 90.0%" in decision.reason
    assert decision.price == 0.9


def test_a_base_is_replaced_once_heads_carry_much_of_the_work() -> None:
    history = tried(*[0.8] * 6, asked=1.0)
    assert decide(history[:3], NEVER, POLICY).depth == "correct"
    decision = decide(history, NEVER, POLICY)
    assert (decision.action, decision.depth) == ("heal", "retrain")
    assert decision.gain is not None
    assert decision.gain.share > POLICY.retrain_gain
    waiting = HealRecord(retrain_windows=4, headed=True)
    assert decide(history, waiting, POLICY).depth == "correct"


def test_a_retrain_has_to_earn_its_cpu_seconds_and_heads_stand_in_for_it() -> None:
    history = tried(*[0.8] * 6, asked=1.0)
    gained = decide(history, NEVER, POLICY).gain
    assert gained is not None
    # Shared out over the four windows of the wait and the one after it.
    seconds = 5 * (gained.share - POLICY.retrain_gain) / POLICY.cpu_price
    cheap, dear = (HealRecord(costs=Costs(retrain=k * seconds)) for k in (0.9, 1.1))
    patient = POLICY.model_copy(update={"cpu_budget": None})
    paid = decide(history, cheap, patient)
    assert (paid.depth, paid.cpu_seconds) == ("retrain", 0.9 * seconds)
    assert paid.price is not None
    assert POLICY.retrain_gain < paid.price < gained.share
    unpaid = decide(history, dear, patient)
    assert unpaid.depth == "correct"
    assert "a retrain could cut the loss by" in unpaid.reason
    declared = patient.model_copy(update={"costs": Costs(retrain=1.0)})
    assert decide(history, dear, declared).depth == "retrain"


def test_a_retrain_waits_until_the_budget_has_paid_for_it() -> None:
    thrifty = POLICY.model_copy(update={"cpu_budget": timedelta(seconds=10), "cpu_price": 0.0})
    costs = Costs(retrain=79.0, correct=2.0)
    waits, over = (HealRecord(retrain_windows=n, costs=costs) for n in (9, 10))
    history = tried(*[0.8] * 6, asked=1.0)
    assert decide(history, waits, thrifty).depth == "correct"
    assert decide(history, over, thrifty).depth == "retrain"


def test_a_first_base_has_had_its_time_though_the_history_is_cut_short() -> None:
    thrifty = POLICY.model_copy(update={"cpu_budget": timedelta(seconds=10), "cpu_price": 0.0})
    history = tried(*[0.8] * 6, asked=1.0)
    costs = Costs(retrain=900.0)
    early, due = (HealRecord(windows=n, costs=costs) for n in (89, 90))
    assert decide(history, early, thrifty).depth == "correct"
    assert decide(history, due, thrifty).depth == "retrain"


def test_a_rise_of_the_loss_that_is_less_than_a_retrain_costs_is_kept() -> None:
    costly = HealRecord(costs=Costs(retrain=9000.0))
    free = POLICY.model_copy(update={"cpu_budget": None})
    decision = decide(seen(1.5, 1.5), costly, free)
    assert decision.action == "keep"
    assert "a retrain could cut the loss by 33%, less than its price, 42.0%" in decision.reason
    assert decide(seen(2.0, 2.0), costly, free).depth == "retrain"


def test_a_head_for_which_the_budget_has_no_room_is_not_put_on() -> None:
    history = tried(0.5, 0.5, 0.5)
    slow = HealRecord(costs=Costs(correct=400.0))
    decision = decide(history, slow, POLICY)
    assert decision.action == "keep"
    assert "takes 400 CPU seconds, for which the budget has no room" in decision.reason
    assert decide(history, slow, POLICY.model_copy(update={"cpu_budget": None})).depth == "correct"


def test_nothing_seen_is_kept() -> None:
    assert decide([], NEVER, POLICY).action == "keep"


def test_classes_that_the_model_has_never_seen_are_learned_by_a_retrain() -> None:
    steady = tried(*[0.0] * 4)
    late = [v.model_copy(update={"unknown": 0.1, "losses": (loss(1.0),)}) for v in steady]
    decision = decide(late, NEVER, POLICY)
    assert (decision.depth, decision.ground) == ("retrain", "loss")
    assert "10.0% of the labels of 4 windows" in decision.reason
    assert decide(late[:2], NEVER, POLICY).depth != "retrain"
    assert decide(late, HealRecord(retrain_windows=1), POLICY).depth != "retrain"
