"""How large a small model is."""

import pytest

from perennial.training.heads.boosting import Size


@pytest.mark.parametrize("rows", [1, 200, 10_000])
def test_few_rows_and_usual_ones_get_a_model_of_the_same_size(rows: int) -> None:
    size = Size(rounds=10, leaves=12, rate=0.4)
    assert size.grown(rows) == size


def test_more_rows_get_more_trees_of_more_leaves_that_each_say_less() -> None:
    grown = Size(rounds=10, leaves=12, rate=0.4).grown(40_000)
    assert grown == Size(rounds=20, leaves=24, rate=0.2)
