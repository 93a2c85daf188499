"""A stream is cut without losing a row, and labels come no earlier than they may."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.backtest.stream import cut
from perennial.errors import SourceError


@given(st.integers(100, 10_000), st.integers(1, 50), st.integers(0, 5))
def test_windows_are_equal_and_cover_the_rest(rows: int, windows: int, delay: int) -> None:
    where = cut(rows, windows=windows, train_fraction=0.2, label_delay_windows=delay)
    assert set(np.diff(where.bounds)) == {where.window_rows}
    assert where.bounds[-1] == rows
    assert where.windows == windows
    assert 0 <= where.first - rows // 5 < windows
    assert [where.labelled(done) for done in range(windows + 1)] == [
        where.bounds[max(0, done - delay)] for done in range(windows + 1)
    ]


@pytest.mark.parametrize(("rows", "windows"), [(0, 1), (3, 1), (100, 81), (100, 0)])
def test_what_cannot_be_cut_is_refused(rows: int, windows: int) -> None:
    with pytest.raises(SourceError, match="ask for fewer windows"):
        cut(rows, windows=windows, train_fraction=0.2)
