"""What a demo counts as an alarm that was rightly not acted on."""

from datetime import UTC, datetime

import pytest

from perennial.demo.summary import passed_over
from perennial.drift.decision import Decision
from perennial.drift.record import Check
from tests.drift.verdicts import inputs, loss


def check(number, *, shifted=("heat",), action="keep", losses=()):
    """A look at a window, at which labels of earlier ones may have come."""
    return Check(
        pipeline="line",
        window=f"w{number:06d}",
        rows=100,
        champion="0001",
        input=inputs(*shifted),
        losses=losses,
        decision=Decision(action=action, ground="none", reason="for a reason"),
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def later(ratio, *, risen=False):
    """The look at the second window, at which the labels of the first have come."""
    verdict = loss(ratio).model_copy(update={"window": "w000001", "risen": risen})
    return check(2, shifted=(), losses=(verdict,))


def test_a_shift_whose_loss_kept_its_promise_was_rightly_left_alone():
    (found,) = passed_over([check(1), later(1.05)], 0.1)
    assert (found.window, found.shifted, found.loss_over_promise) == (1, ["heat"], 1.05)


@pytest.mark.parametrize(
    "checks",
    [
        [check(1)],
        [check(1), later(1.5)],
        [check(1), later(1.05, risen=True)],
        [check(1, shifted=()), later(1.0)],
        [check(1, action="heal"), later(1.0)],
    ],
)
def test_nothing_else_was(checks):
    assert passed_over(checks, 0.1) == []
