"""What a demo tells of alarms that were not acted on, and of heals that came to nothing."""

from datetime import UTC, datetime

import pytest

from perennial.demo.unhealed import find_refusals, passed_over
from perennial.drift.decision import Decision
from perennial.drift.record import Check
from perennial.registry import new_entry
from tests.drift.verdicts import inputs, loss


def check(number, *, shifted=("heat",), action="keep", losses=(), **decided):
    """A look at a window, at which labels of earlier ones may have come."""
    return Check(
        pipeline="line",
        window=f"w{number:06d}",
        rows=100,
        champion="0001",
        input=inputs(*shifted),
        losses=losses,
        decision=Decision(action=action, ground="none", reason="for a reason", **decided),
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
        [check(1, put_off=True), later(1.0)],
        [check(1, loss_ratio=2.04), later(1.0)],
    ],
)
def test_nothing_else_was(checks):
    assert passed_over(checks, 0.1) == []


def test_heals_that_came_to_nothing_are_told_with_the_reason():
    cause = "line/checks/w000007.json"
    entries = [
        new_entry(event, reason=f"{event} so", by="test", cause=asked, details={"depth": "correct"})
        for event, asked in (
            ("version.refused", cause),
            ("retrain.held", cause),
            ("retrain.failed", cause),
            ("version.registered", cause),
            ("version.refused", None),
        )
    ]
    told = [(r.window, r.depth, r.what, r.reason) for r in find_refusals(entries)]
    assert told == [
        (7, "correct", "refused", "version.refused so"),
        (7, "correct", "held", "retrain.held so"),
        (7, "correct", "failed", "retrain.failed so"),
    ]
