"""Who answers a key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perennial.serving.router import Route, place

weights = st.floats(0, 1)


def is_theirs(key: str, weight: float) -> bool:
    return Route(place(key, "0002-b"), weight).to_challenger


@given(st.text(), weights, weights)
def test_a_key_stays_with_the_challenger_while_the_weight_grows(
    key: str, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    if is_theirs(key, low):
        assert is_theirs(key, high)


@given(st.text())
def test_nobody_at_weight_zero_everybody_at_weight_one(key: str) -> None:
    assert not is_theirs(key, 0.0)
    assert is_theirs(key, 1.0)


def test_the_share_is_the_weight() -> None:
    share = sum(is_theirs(f"user-{i}", 0.1) for i in range(20_000)) / 20_000
    assert abs(share - 0.1) < 0.01


def test_places_do_not_change_between_releases() -> None:
    assert place("user-1", "0002-b") == 6820839467162484521
