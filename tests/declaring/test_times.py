"""Which column of a table says when a row was."""

import numpy as np
import pandas as pd

from perennial.declaring.times import choose_time, time_columns


def test_a_few_values_that_are_no_time_do_not_hide_the_time_column():
    days = pd.Series(pd.date_range("2024-01-01", periods=400).strftime("%d.%m.%Y"), name="Datum")
    days.iloc[[3, 50, 200]] = ["unbekannt", "31.02.2024", None]
    frame = pd.DataFrame({"Datum": days, "x": np.arange(400) % 7, "y": np.arange(400) % 5 + 0.5})
    (found,), _ = time_columns(frame, "y")
    assert choose_time([found]) is found
    assert found.format == "%d.%m.%Y"
    assert found.times.isna().sum() == 3
