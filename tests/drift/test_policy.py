"""The policy heals on lasting evidence, waits after a heal, and backs off from refusals."""

from __future__ import annotations

import pytest

from perennial.drift.detector import FeatureVerdict, InputVerdict
from perennial.drift.loss import LossVerdict, Promise
from perennial.drift.policy import HealRecord, Verdicts, decide, quiet_windows
from perennial.spec import Policy

POLICY = Policy(persistence=2, cooldown=1, loss_increase=0.1, loss_p_value=0.1)
NEVER = HealRecord()
PROMISE = Promise(rows=100, measured=1.0, mean=1.0, variance=1.0, stderr=0.05, freedom=9)


def loss(ratio: float, stderr: float = 0.05) -> LossVerdict:
    return LossVerdict(
        window="w000001",
        rows=100,
        loss=ratio,
        stderr=stderr,
        freedom=9,
        promise=PROMISE,
        ratio=ratio,
        low=ratio,
        high=ratio,
        p_value=0.5,
        risen=False,
    )


def inputs(*shifted: str) -> InputVerdict:
    features = tuple(
        FeatureVerdict(
            feature=name,
            aspect="values",
            test="ks",
            statistic=0.5,
            p_value=0.0,
            effect=1.0,
            threshold=0.2,
            direction="up",
            detail="mean 1 -> 2",
            shifted=name in shifted,
        )
        for name in ("heat", "wind")
    )
    return InputVerdict(
        detector="tabular",
        rows=100,
        reference_rows=1000,
        p_value=0.0,
        effect=1.0,
        features=features,
        shifted=bool(shifted),
    )


def seen(*ratios: float, shifted: tuple[str, ...] = ()) -> list[Verdicts]:
    return [
        Verdicts(window=f"w{i:06d}", input=inputs(*shifted), losses=(loss(ratio),))
        for i, ratio in enumerate(ratios)
    ]


def blind(*shifted: tuple[str, ...]) -> list[Verdicts]:
    return [Verdicts(window=f"w{i:06d}", input=inputs(*s)) for i, s in enumerate(shifted)]


def test_a_loss_that_stays_risen_is_healed_and_named() -> None:
    decision = decide(seen(1.0, 1.5, 1.6), NEVER, POLICY)
    assert (decision.action, decision.ground) == ("heal", "loss")
    assert decision.loss_ratio == pytest.approx(1.55)
    assert decision.reason.startswith("loss 1.55 times its promise")


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


@pytest.mark.parametrize("windows", [((),), (("heat",),), (("heat",), ("wind",)), (("heat",), ())])
def test_without_labels_a_passing_input_shift_is_kept(
    windows: tuple[tuple[str, ...], ...],
) -> None:
    assert decide(blind(*windows), NEVER, POLICY).action == "keep"


def test_labels_that_stopped_coming_give_way_to_the_inputs() -> None:
    history = seen(1.0) + blind(("heat",), ("heat",), ("heat",))
    assert decide(history, NEVER, POLICY).ground == "input"


def test_nothing_is_asked_for_during_the_cool_down() -> None:
    history = seen(2.0, 2.0)
    assert decide(history, HealRecord(windows_since=1), POLICY).action == "keep"
    assert decide(history, HealRecord(windows_since=2), POLICY).action == "heal"


def test_every_further_refusal_doubles_the_wait() -> None:
    assert [quiet_windows(POLICY, refused) for refused in range(4)] == [1, 1, 2, 4]
    history = seen(2.0, 2.0)
    assert decide(history, HealRecord(windows_since=4, refused=3), POLICY).action == "keep"
    assert decide(history, HealRecord(windows_since=5, refused=3), POLICY).action == "heal"


def test_refusals_back_off_without_a_cool_down_too() -> None:
    assert quiet_windows(Policy(cooldown=0), 0) == 0
    assert quiet_windows(Policy(cooldown=0), 1) == 1


def test_a_champion_of_some_age_is_challenged_though_it_keeps_its_promise() -> None:
    policy = Policy(refresh=5)
    assert decide(seen(*[1.0] * 4), NEVER, policy).action == "keep"
    decision = decide(seen(*[1.0] * 5), NEVER, policy)
    assert (decision.action, decision.ground) == ("heal", "age")
    assert decide(seen(*[1.0] * 9), HealRecord(windows_since=4), policy).action == "keep"
    assert decide(seen(*[1.0] * 9), HealRecord(windows_since=5), policy).action == "heal"


def test_a_challenge_that_was_refused_is_repeated_later_and_later() -> None:
    policy, history = Policy(refresh=5), seen(*[1.0] * 30)
    assert decide(history, HealRecord(windows_since=19, refused=2), policy).action == "keep"
    assert decide(history, HealRecord(windows_since=20, refused=2), policy).action == "heal"


def test_age_alone_asks_for_nothing_where_there_are_no_labels() -> None:
    assert decide(blind(*[()] * 50), NEVER, Policy(refresh=5)).action == "keep"


def test_nothing_seen_is_kept() -> None:
    assert decide([], NEVER, POLICY).action == "keep"
