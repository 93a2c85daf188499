"""The worst slice is found where there is one, and rarely where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.evaluation.answers import Answers
from perennial.evaluation.gate import judge
from perennial.evaluation.slices import SliceResult, find_slices, judge_slices
from perennial.spec import Gates


def rows(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({f"x{i}": rng.normal(size=n) for i in range(6)})
    return frame.assign(shop=rng.choice(list("abcdef"), n), hour=np.arange(n) % 24)


def judged(
    n: int, seed: int, *, better: float = 0.0, worse_in_a: float = 0.0
) -> tuple[SliceResult, ...]:
    """Squared errors that follow their neighbours; the candidate's differ as asked."""
    rng = np.random.default_rng(seed)
    frame = rows(n, seed)
    slow = np.convolve(rng.normal(size=n + 20), np.ones(21) / 21**0.5, "valid")
    theirs, mine = ((0.6 * slow + 0.8 * rng.normal(size=n)) ** 2 for _ in range(2))
    here = (frame["shop"] == "a").to_numpy()
    mine = np.where(here, (1 + worse_in_a) * mine, (1 - better) * mine)
    return judge_slices(find_slices(frame, (), frame.columns), mine, theirs, margin=0.0)


@pytest.mark.parametrize("n", [150, 1000])
def test_no_slice_is_named_where_both_are_alike(n: int) -> None:
    named = [any(part.refused for part in judged(n, seed)) for seed in range(60)]
    assert np.mean(named) <= 0.15


def test_a_candidate_that_is_better_on_average_and_worse_on_one_slice_is_found() -> None:
    for seed in range(10):
        refused = [p.label for p in judged(2000, seed, better=0.4, worse_in_a=1.5) if p.refused]
        assert refused == ["shop = a"]


def test_the_gate_refuses_it_and_names_the_slice() -> None:
    rng = np.random.default_rng(0)
    frame, y = rows(2000, 0), rng.normal(0, 3, 2000)
    here = (frame["shop"] == "b").to_numpy()
    error = np.where(here, 3.0, 0.3) * rng.normal(size=2000)
    decision = judge(
        Answers(
            task="regression",
            metric="rmse",
            y=y,
            candidate=(y + error)[:, None],
            champion=(y + 1.3 * rng.normal(size=2000))[:, None],
            training_y=y,
        ),
        Gates(slices=("shop",)),
        frame=frame,
        features=("x0", "shop"),
    )
    assert {check.name for check in decision.refusals} >= {"slices"}
    assert "clearly worse than the champion where shop = b" in decision.reason
    assert {part.label for part in decision.slices if part.declared} == {
        f"shop = {name}" for name in "abcdef"
    }


def test_a_first_version_has_nothing_to_be_compared_with() -> None:
    frame = rows(200, 0)
    found = judge_slices(find_slices(frame, ("shop",), ()), np.ones(200), None, 0.1)
    assert not any(part.refused for part in found)
    assert len(found) == 6


def test_missing_values_dates_and_few_values_make_slices_of_their_own() -> None:
    frame = pd.DataFrame(
        {
            "a": [np.nan, 1.0] * 50,
            "t": pd.date_range("2030-01-01", periods=100),
            "one": ["same"] * 100,
        }
    )
    labels = [(s.column, s.value) for s in find_slices(frame, (), frame.columns)]
    assert ("a", "missing") in labels
    assert sum(column == "t" for column, _ in labels) == 4
    assert all(column != "one" for column, _ in labels)


def test_a_slice_that_is_too_small_is_not_judged() -> None:
    frame = pd.DataFrame({"shop": ["a"] * 5 + ["b"] * 95})
    mine = np.where(frame["shop"] == "a", 9.0, 0.0)
    found = judge_slices(find_slices(frame, ("shop",), ()), mine, np.ones(100), 0.0)
    (small,) = [part for part in found if part.value == "a"]
    assert (small.refused, small.low) == (False, None)
