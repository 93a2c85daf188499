"""Yardsticks from outside learn from what is known, and from nothing later."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.backtest.baselines import BaselineRun, run_baseline
from perennial.backtest.compare import backtest
from perennial.backtest.policies import YARDSTICKS, YardstickName
from perennial.backtest.report import render_backtest
from perennial.backtest.stream import Recorded, cut
from perennial.backtest.yardsticks import follow
from perennial.spec import PipelineSpec
from tests.backtest.playing import spec, stream

pytest.importorskip("river")

WINDOWS = 6


def followed(
    name: YardstickName, frame: pd.DataFrame, declared: PipelineSpec, late: int = 0
) -> BaselineRun:
    where = cut(len(frame), windows=WINDOWS, train_fraction=0.2, label_delay_windows=late)
    return follow(name, Recorded(frame, declared, where))


def turning(rows: int = 900) -> pd.DataFrame:
    return stream(rows // 2, rows=rows)


@pytest.mark.parametrize("name", YARDSTICKS)
@pytest.mark.parametrize("late", [0, 2])
def test_the_future_changes_nothing_of_the_past(name: YardstickName, late: int) -> None:
    frame = turning(450)
    frame["text"] = np.where(frame.index % 3 == 0, None, "u")
    frame.loc[::7, "a"] = np.nan
    altered = frame.copy()
    known = 210  # rows of the first two windows and of the first fraction
    altered.loc[known:, "y"] = 1e6
    before, after = (followed(name, rows, spec(), late) for rows in (frame, altered))
    answered = known + 60 * (1 + late) - 90  # the labels are of no use before the next window
    np.testing.assert_array_equal(before.outputs[:answered], after.outputs[:answered])
    assert np.isfinite(before.outputs).all()


@pytest.mark.parametrize("name", ["arf", "srp"])
def test_what_learns_from_each_row_survives_a_turn(name: YardstickName) -> None:
    frame = turning()
    frame["y"] = (frame["y"] > frame["y"].median()).astype(int)
    run = followed(name, frame, spec(task="binary", metric="accuracy"))
    assert run.window_scores[-1] > 0.7
    assert 0 < run.first_cpu_seconds < run.cpu_seconds
    assert run.outputs.shape == (720, 1)


def test_classes_have_a_column_each() -> None:
    frame = turning(450)
    frame["y"] = [f"c{value}" for value in np.digitize(frame["y"], [-2, 2])]
    run = followed("arf", frame, spec(task="multiclass", metric="accuracy"))
    np.testing.assert_allclose(run.outputs.sum(axis=1), 1)
    assert run.outputs.shape == (360, 3)


def test_the_trigger_refits_behind_a_turn_and_not_before() -> None:
    run = followed("cusum", turning(), spec())
    assert run.starts[:2] == (0, 3), "the window of the turn is the third"
    never = run_baseline("never", turning(), spec(), windows=WINDOWS, jobs=1)
    assert run.score < never.score
    np.testing.assert_array_equal(run.outputs[:360], never.outputs[:360])


def test_they_stand_beside_the_other_policies() -> None:
    found = backtest(turning(), spec(), policies=["never", "every", "cusum"], windows=6, jobs=2)
    assert found.policies["cusum"].recovered is not None
    assert found.policies["cusum"].decisions[2].reason == "the loss signals"
    assert "retrained when the loss signals" in render_backtest(found)
