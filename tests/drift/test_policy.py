"""The policy weighs what members have answered, and waits after a heal and after rollbacks."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from perennial.datasets.dates import Dates
from perennial.drift.decision import Decision, HealRecord, Verdicts
from perennial.drift.policy import decide
from perennial.evaluation.division import MIN_HEAD_ROWS
from perennial.evaluation.mixing import MemberErrors, Mixture, weigh
from perennial.spec import Costs, Policy
from perennial.store.layout import window_name
from tests.drift.verdicts import answered, inputs, loss

POLICY = Policy(persistence=2, cooldown=1, loss_increase=0.1, loss_p_value=0.1, retrain_wait=4)
NEVER = HealRecord()


def judged(history: list[Verdicts], heals: HealRecord, policy: Policy) -> Decision:
    """Decide where nothing is known of what members have answered."""
    return decide(history, [], heals, policy)


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
    decision = judged(seen(1.0, 1.5, 1.6), NEVER, POLICY)
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
    decision = judged(dated, NEVER, POLICY)
    assert "in windows 2 to 3 (2 Mar - 4 Mar 2026):" in decision.reason


def test_a_drift_is_one_only_where_inputs_have_moved() -> None:
    assert judged(seen(1.5, 1.6), NEVER, POLICY).title == "Heal asked for"
    assert judged(seen(1.5, 1.6, shifted=("heat",)), NEVER, POLICY).title == "Drift confirmed"


def test_features_that_moved_with_the_loss_are_named() -> None:
    decision = judged(seen(1.5, 1.6, shifted=("heat",)), NEVER, POLICY)
    assert decision.features == ("heat",)
    assert "heat: mean 1 -> 2" in decision.reason


def test_a_rise_that_is_clear_in_one_window_needs_no_second() -> None:
    clear = loss(1.6).model_copy(update={"risen": True, "window": "w000009"})
    decision = judged([*seen(1.0), Verdicts(window="w", losses=(clear,))], NEVER, POLICY)
    assert decision.action == "heal"
    assert decision.windows == ("w000009",)


@pytest.mark.parametrize("ratios", [(), (1.6,), (1.6, 1.0), (1.0, 1.6), (1.05, 1.05)])
def test_a_loss_that_does_not_last_or_is_small_is_kept(ratios: tuple[float, ...]) -> None:
    assert judged(seen(*ratios), NEVER, POLICY).action == "keep"


def test_a_rise_within_its_noise_is_kept() -> None:
    noisy = [Verdicts(window="w", losses=(loss(1.5, stderr=2.0),)) for _ in range(2)]
    assert judged(noisy, NEVER, POLICY).action == "keep"


def test_an_input_shift_that_costs_nothing_is_kept() -> None:
    decision = judged(seen(1.0, 1.0, 1.0, shifted=("heat",)), NEVER, POLICY)
    assert decision.action == "keep"


def test_without_labels_a_lasting_input_shift_is_healed_and_named() -> None:
    decision = judged(blind(("heat", "wind"), ("heat",)), NEVER, POLICY)
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
    decision = judged((seen(1.0) if labelled else []) + silent, NEVER, POLICY)
    assert (decision.action, decision.wants_labels) == (action, wants_labels)
    assert "by an estimate the loss is 1.50 times its reference" in decision.reason
    assert decision.features == ("heat",)


def test_an_estimate_alone_confirms_nothing() -> None:
    estimated = loss(1.5).model_copy(update={"risen": True})
    silent = [v.model_copy(update={"estimated": estimated}) for v in blind((), ())]
    assert judged(seen(1.0) + silent, NEVER, POLICY).action == "keep"


def test_without_labels_a_shift_that_is_not_confirmed_is_kept() -> None:
    assert judged(blind(("heat",), ()), NEVER, POLICY).action == "keep"
    newest = blind(("heat",))[0].input
    assert newest is not None
    passing = [v.model_copy(update={"confirmed": False}) for v in newest.features]
    once = Verdicts(window="w", input=newest.model_copy(update={"features": tuple(passing)}))
    assert judged([once], NEVER, POLICY).action == "keep"


def test_labels_that_stopped_coming_give_way_to_the_inputs() -> None:
    history = seen(1.0) + blind(("heat",), ("heat",), ("heat",))
    assert judged(history, NEVER, POLICY).ground == "input"


def test_nothing_is_asked_for_during_the_cool_down() -> None:
    history = seen(2.0, 2.0)
    assert judged(history, HealRecord(windows_since=1), POLICY).action == "keep"
    assert judged(history, HealRecord(windows_since=2), POLICY).action == "heal"


def test_rollbacks_in_a_row_make_heals_wait_but_not_for_ever() -> None:
    history = seen(2.0, 2.0)
    assert judged(history, HealRecord(windows_since=7, undone=3), POLICY).action == "keep"
    assert judged(history, HealRecord(windows_since=8, undone=3), POLICY).action == "heal"
    assert judged(history, HealRecord(windows_since=15, undone=50), POLICY).action == "keep"
    assert judged(history, HealRecord(windows_since=16, undone=50), POLICY).action == "heal"


def test_a_loss_without_members_to_weigh_waits_for_a_retrain_after_the_last_one() -> None:
    history = seen(2.0, 2.0)
    early = judged(history, HealRecord(retrain_windows=4), POLICY)
    assert (early.action, early.put_off) == ("keep", True)
    assert "no retrain is asked for yet: window 4 of 4 after the last one" in early.reason
    assert judged(history, HealRecord(retrain_windows=5), POLICY).depth == "retrain"


GOOD = {"recalibrate": 0.8, "renew": 1.0, "correct": 0.7}
"""Errors of small models that help; the first's are 1."""
IDLE = {"recalibrate": 1.0, "renew": 1.5, "correct": 1.2}
"""Errors of small models that do not."""
LATELY = HealRecord(retrain_windows=1)
"""A retrain was just made."""


def record(windows: int, **sizes: float) -> list[MemberErrors]:
    return [answered(number, **sizes) for number in range(1, windows + 1)]


def after(
    windows: int,
    heals: HealRecord = NEVER,
    policy: Policy = POLICY,
    *,
    ratio: float = 1.0,
    shifted: tuple[str, ...] = (),
    **sizes: float,
) -> Decision:
    """Decide after so many windows in which members have erred by this much."""
    return decide(
        seen(*[ratio] * windows, shifted=shifted), record(windows, **sizes), heals, policy
    )


def test_a_first_correction_is_tried_as_soon_as_labels_are_enough() -> None:
    decision = after(1)
    assert (decision.action, decision.depth, decision.ground) == ("heal", "correct", "members")
    assert decision.mixture is not None
    equal = pytest.approx(Mixture.equal().shares)
    assert decision.mixture.shares == equal, "nothing is known of small models yet"
    assert decision.reason == "small models of the newest rows are tried beside the model"
    assert (decision.windows, decision.late, decision.name) == (("w000001",) * 2, 1, "correct")


def test_a_first_correction_waits_for_rows_to_learn_from() -> None:
    few = [answered(1, rows=MIN_HEAD_ROWS - 1)]
    decision = decide(seen(1.0), few, NEVER, POLICY)
    assert (decision.action, decision.depth) == ("keep", None)
    assert decision.reason == "too few labels have come to correct the model by"
    assert decide(seen(1.0, 1.0), [*few, answered(2, rows=1)], NEVER, POLICY).depth == "correct"


def test_small_models_are_fitted_again_until_their_worth_is_known() -> None:
    """Windows that were answered without them say nothing of them: labels may be late."""
    dear = POLICY.model_copy(update={"takeover_price": 0.9})
    before = [answered(number) for number in range(1, 9)]
    shown = [answered(number, **IDLE) for number in range(9, 14)]
    history = seen(*[1.0] * 13)
    decision = decide(history[:-1], [*before, *shown[:-1]], LATELY, dear)
    assert decision.depth == "correct"
    assert decision.reason.endswith("4 windows of 5 have shown what they are worth")
    assert decide(history, [*before, *shown], LATELY, dear).action == "keep"


def test_newer_small_models_are_put_on_as_long_as_they_are_worth_their_price() -> None:
    decision = after(6, LATELY, **GOOD)
    assert (decision.action, decision.depth) == ("heal", "correct")
    assert decision.mixture == weigh(record(6, **GOOD))
    assert decision.gain is not None
    assert decision.price is not None
    assert decision.gain > decision.price == POLICY.takeover_price
    assert decision.reason.startswith("newer small models and shares are worth ")
    assert "shares by what each has answered live: recalibrated answers " in decision.reason
    assert "residual model " in decision.reason
    assert "model of all rows" not in decision.reason, "there is none yet"


def test_small_models_that_are_worth_less_than_a_takeover_stay_as_they_are() -> None:
    dear = POLICY.model_copy(update={"takeover_price": 0.9})
    decision = after(6, LATELY, dear, **GOOD)
    assert (decision.action, decision.price) == ("keep", 0.9)
    assert "less than its price, 90.0%" in decision.reason
    assert decision.mixture is not None, "what the windows speak for is told all the same"


def test_where_no_member_does_better_nothing_is_changed() -> None:
    standing = weigh(record(6, **IDLE))
    waits = LATELY.model_copy(update={"standing": standing})
    decision = after(6, waits, POLICY.model_copy(update={"takeover_price": 0.1}), **IDLE)
    assert decision.action == "keep"


def test_other_shares_alone_are_worth_a_correction() -> None:
    """Small models save nothing, but the standing shares lean on a bad one."""
    bad = LATELY.model_copy(update={"standing": Mixture(renew=1.0)})
    decision = after(6, bad, POLICY.model_copy(update={"takeover_price": 0.1}), **IDLE)
    assert decision.depth == "correct"
    assert decision.gain is not None
    assert decision.gain > 0.3


def test_a_correction_for_which_the_budget_has_no_room_is_not_made_anew() -> None:
    slow = LATELY.model_copy(update={"costs": Costs(correct=400.0)})
    decision = after(6, slow, **GOOD)
    assert decision.action == "keep"
    assert "takes 400 CPU seconds, for which the budget has no room" in decision.reason
    free = POLICY.model_copy(update={"cpu_budget": None})
    assert after(6, slow, free, **GOOD).depth == "correct"


def test_a_rise_of_the_loss_that_nothing_can_lower_is_left_alone() -> None:
    dear = POLICY.model_copy(update={"takeover_price": 0.5})
    decision = after(6, LATELY, dear, ratio=1.6, **IDLE)
    assert decision.action == "keep"
    assert decision.reason.startswith("harder rows, not a worse model: ")
    assert "the loss is 1.60 times its reference" in decision.reason
    assert "harder rows" not in after(6, LATELY, dear, **IDLE).reason


def test_a_first_retrain_is_due_once_as_many_windows_have_labels_as_it_waits_for() -> None:
    assert after(4, HealRecord(), **GOOD).depth == "correct"
    decision = after(5, HealRecord(), **GOOD)
    assert (decision.action, decision.depth, decision.ground) == ("heal", "retrain", "members")
    assert decision.mixture == weigh(record(5, **GOOD))
    assert decision.reason.startswith(
        "a new model is due, 5 windows have come with their labels; shares by what each has "
        "answered live: "
    )


def test_windows_whose_labels_have_not_come_do_not_make_a_retrain_due() -> None:
    history = seen(1.0, 1.0, 1.0) + blind(*[()] * 3)
    decision = decide(history, record(3, **GOOD), HealRecord(windows=6), POLICY)
    assert decision.depth != "retrain"


NEW = {**GOOD, "recent": 0.5, "all": 0.9}
"""Errors where new models have earned a share."""


@pytest.mark.parametrize(("waited", "due"), [(4, False), (5, True)])
def test_a_retrain_is_due_by_the_clock_where_new_models_have_earned_something(
    waited: int, due: bool
) -> None:
    heals = HealRecord(retrain_windows=waited)
    assert (after(12, heals, **NEW).depth == "retrain") == due


@pytest.mark.parametrize(("waited", "due"), [(5, False), (9, False), (10, True)])
def test_a_retrain_is_due_later_where_new_models_have_earned_nothing(
    waited: int, due: bool
) -> None:
    useless = {**GOOD, "recent": 1.3, "all": 1.3}
    heals = HealRecord(retrain_windows=waited)
    assert (after(12, heals, **useless).depth == "retrain") == due


def test_a_loss_that_has_risen_does_not_wait_though_new_models_have_earned_nothing() -> None:
    useless = {**GOOD, "recent": 1.3, "all": 1.3}
    heals = HealRecord(retrain_windows=5)
    decision = after(12, heals, ratio=1.6, shifted=("heat",), **useless)
    assert (decision.depth, decision.loss_ratio) == ("retrain", pytest.approx(1.6))
    assert "the loss is 1.60 times its reference" in decision.reason
    assert decision.features == ("heat",)
    assert decision.reason.endswith("heat: mean 1 -> 2")
    early = HealRecord(retrain_windows=4)
    assert after(12, early, ratio=1.6, **useless).depth == "correct"


def test_a_retrain_waits_until_the_budget_has_paid_for_it() -> None:
    thrifty = POLICY.model_copy(update={"cpu_budget": timedelta(seconds=10), "cpu_price": 0.0})
    costs = Costs(retrain=79.0, correct=2.0)
    waits, over = (HealRecord(retrain_windows=n, costs=costs) for n in (9, 10))
    assert after(12, waits, thrifty, **NEW).depth == "correct"
    assert after(12, over, thrifty, **NEW).depth == "retrain"


def test_a_wait_that_is_longer_than_the_record_comes_to_an_end() -> None:
    """Only the newest windows are remembered."""
    thrifty = POLICY.model_copy(update={"cpu_budget": timedelta(seconds=10), "cpu_price": 0.0})
    costs = Costs(retrain=900.0)
    early, due = (HealRecord(windows=n, costs=costs) for n in (89, 90))
    assert after(60, early, thrifty, **GOOD).depth == "correct"
    assert after(60, due, thrifty, **GOOD).depth == "retrain"


def test_a_bound_of_harm_leaves_more_to_the_first() -> None:
    careful = POLICY.model_copy(update={"harm": 0.01})
    free, bound = (after(4, LATELY, policy, **GOOD).mixture for policy in (POLICY, careful))
    assert free is not None
    assert bound is not None
    assert bound.first > free.first
    assert bound == weigh(record(4, **GOOD), 0.01)


def test_members_are_weighed_in_no_window_of_the_cool_down() -> None:
    heals = HealRecord(
        windows_since=1,
    )
    decision = after(5, heals, **GOOD)
    assert (decision.action, decision.put_off) == ("keep", True)


def test_labels_that_stopped_coming_give_way_to_the_inputs_whatever_members_have_answered() -> None:
    history = seen(1.0) + blind(("heat",), ("heat",), ("heat",))
    assert decide(history, record(1, **GOOD), LATELY, POLICY).ground != "members"


def test_a_rise_of_the_loss_that_is_less_than_a_retrain_costs_is_kept() -> None:
    costly = HealRecord(costs=Costs(retrain=9000.0))
    free = POLICY.model_copy(update={"cpu_budget": None})
    decision = judged(seen(1.5, 1.5), costly, free)
    assert decision.action == "keep"
    assert "a retrain could cut the loss by 33%, less than its price, 42.0%" in decision.reason
    assert judged(seen(2.0, 2.0), costly, free).depth == "retrain"


def test_nothing_seen_is_kept() -> None:
    assert judged([], NEVER, POLICY).action == "keep"


def test_classes_that_the_model_has_never_seen_are_learned_by_a_retrain() -> None:
    late = [v.model_copy(update={"unknown": 0.1}) for v in seen(1.0, 1.0, 1.0, 1.0)]
    for known in ([], record(6, **GOOD)):
        decision = decide(late, known, HealRecord(), POLICY)
        assert (decision.depth, decision.ground) == ("retrain", "loss")
        assert "10.0% of the labels of 4 windows" in decision.reason
        assert decide(late[:2], known[:2], NEVER, POLICY).depth != "retrain"
        assert decide(late, known, HealRecord(retrain_windows=1), POLICY).depth != "retrain"
