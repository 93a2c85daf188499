"""A few seeded faults on the real stack; ``make test-faults`` plays many more."""

from __future__ import annotations

import pytest

from tests.faults.rounds import Planned, plan, play, running_stack

pytestmark = pytest.mark.slow

ROUNDS = [
    Planned(1, "worker and flow killed", "candidate", 1),
    Planned(2, "Prefect server killed", "decision", 2),
    Planned(3, "store away", "registered", 3),
    Planned(4, "two heals", "", 4),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running_stack(tmp_path_factory.mktemp("faults") / "stack") as running:
        yield running


@pytest.mark.parametrize("planned", ROUNDS, ids=lambda p: p.harm)
def test_the_loop_converges(stack, planned):
    assert play(stack, planned, away=5).problems == ()


def test_a_plan_is_its_seeds():
    assert plan(30, 5) == plan(30, 5) != plan(30, 6)
    assert len({p.harm for p in plan(30, 5)}) == 14
