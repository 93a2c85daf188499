"""How long a dead child stays dead."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perennial.local.backoff import FIRST_DELAY, HEALTHY_AFTER, LONGEST_DELAY, Backoff


def test_delays_double_up_to_the_longest():
    delays, backoff = [], Backoff()
    for _ in range(9):
        delay, backoff = backoff.after(lifetime=1.0)
        delays.append(delay)
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_a_child_that_was_healthy_for_a_minute_starts_over():
    _, backoff = Backoff(LONGEST_DELAY).after(lifetime=59.9)
    assert backoff.delay == LONGEST_DELAY
    delay, backoff = backoff.after(lifetime=60.0)
    assert (delay, backoff.delay) == (0.5, 1.0)


@given(st.lists(st.floats(0, 1e6), max_size=40))
def test_a_delay_is_never_outside_its_bounds(lifetimes):
    backoff = Backoff()
    for lifetime in lifetimes:
        delay, backoff = backoff.after(lifetime)
        assert FIRST_DELAY <= delay <= LONGEST_DELAY
        assert lifetime < HEALTHY_AFTER or delay == FIRST_DELAY
