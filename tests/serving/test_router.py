"""Who answers a key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perennial.serving.router import goes_to_challenger, position

weights = st.floats(0, 1)


@given(st.text(), weights, weights)
def test_a_key_stays_with_the_challenger_while_the_weight_grows(
    key: str, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    if goes_to_challenger(key, "0002-b", low):
        assert goes_to_challenger(key, "0002-b", high)


@given(st.text())
def test_nobody_at_weight_zero_everybody_at_weight_one(key: str) -> None:
    assert not goes_to_challenger(key, "0002-b", 0.0)
    assert goes_to_challenger(key, "0002-b", 1.0)


def test_the_share_is_the_weight() -> None:
    share = sum(goes_to_challenger(f"user-{i}", "0002-b", 0.1) for i in range(20_000)) / 20_000
    assert abs(share - 0.1) < 0.01


def test_places_do_not_change_between_releases() -> None:
    assert round(position("user-1", "0002-b"), 9) == 0.369758448
