"""What a heal costs follows from the policy and from what the last ones took."""

from __future__ import annotations

from datetime import timedelta

import pytest

from perennial.drift.pricing import Pricing, backoff
from perennial.spec import Costs, Policy

POLICY = Policy(retrain_wait=4, retrain_gain=0.06, takeover_price=0.005, cpu_price=0.001)


def test_no_wait_grows_for_ever() -> None:
    assert [backoff(failures) for failures in range(4)] == [1, 2, 4, 8]
    assert backoff(3) < backoff(4) == backoff(5) == backoff(1000)


def test_a_retrain_waits_as_declared() -> None:
    assert Pricing(POLICY).quiet_windows == 4
    assert Pricing(POLICY.model_copy(update={"retrain_wait": 0})).quiet_windows == 0
    assert Pricing(Policy()).quiet_windows == 4


def test_what_was_never_measured_costs_a_takeover() -> None:
    pricing = Pricing(POLICY)
    assert (pricing.of("correct"), pricing.of("retrain")) == (0.005, 0.06)


def test_seconds_are_paid_for_by_the_windows_that_they_serve() -> None:
    pricing = Pricing(POLICY, Costs(correct=5, retrain=100))
    assert pricing.of("correct") == 0.01
    assert pricing.of("retrain") == pytest.approx(0.06 + 0.001 * 100 / 5)


def test_declared_seconds_stand_for_measured_ones() -> None:
    declared = POLICY.model_copy(update={"costs": Costs(correct=0)})
    pricing = Pricing(declared, Costs(correct=5, retrain=100))
    assert (pricing.seconds("correct"), pricing.seconds("retrain")) == (0, 100)


def test_a_price_does_not_hang_on_the_noise_of_a_measurement() -> None:
    prices = {Pricing(Policy(), Costs(retrain=taken)).of("retrain") for taken in (0.1, 0.2, 0.4)}
    assert prices == {0.06}


@pytest.mark.parametrize(
    ("budget", "heads", "expected"),
    [
        (None, 0, 4),  # any
        (100, 0, 4),  # a window pays for it
        (10, 0, 9),  # ten windows do
        (10, 5, 19),  # heads take half
        (10, 50, 19),  # and no more than that
    ],
)
def test_a_retrain_is_saved_up_for(budget: float | None, heads: float, expected: int) -> None:
    allowed = None if budget is None else timedelta(seconds=budget)
    policy = POLICY.model_copy(update={"cpu_budget": allowed})
    assert Pricing(policy, Costs(correct=heads, retrain=100)).quiet_windows == expected
