"""The best moments found afterwards are the best."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.backtest.hindsight import look_back

cost = st.floats(0, 10, allow_nan=False)


def spent(losses: np.ndarray, starts: tuple[int, ...]) -> float:
    ends = [*starts[1:], len(losses)]
    return sum(losses[a, a:b].sum() for a, b in zip(starts, ends, strict=True))


@given(st.integers(2, 6).flatmap(lambda n: st.lists(cost, min_size=n * n, max_size=n * n)))
def test_no_other_choice_of_as_many_retrains_is_better(numbers: list[float]) -> None:
    windows = int(len(numbers) ** 0.5)
    losses = np.array(numbers).reshape(windows, windows)
    found = look_back(losses, rows=1, most=windows - 1)
    for count in range(windows):
        choices = [(0, *c) for c in combinations(range(1, windows), count)]
        assert found.losses[count] == pytest.approx(min(spent(losses, c) for c in choices))
        assert spent(losses, found.starts[count]) == pytest.approx(found.losses[count])
