"""The loop, replayed, heals a change, leaves the unchanged alone and sees nothing of the future."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from perennial.backtest.bases import fit_booster
from perennial.backtest.replay import ReplayedRun, replay
from perennial.backtest.stream import cut
from perennial.drift import Check
from perennial.spec import PipelineSpec
from perennial.training.estimator import Columns, TrainingSet

CHANGE = 800
SPEC = PipelineSpec.model_validate(
    {"name": "toy", "task": "regression", "source": {"uri": "x"}, "target": "y"}
)


class Line:
    """Least squares through x: a base that takes no time."""

    def __init__(self, data: TrainingSet, *, seed: int, begun: object = None) -> None:
        x = data.numeric[:, 0]
        self.slope = float(x @ data.y / (x @ x))

    def predict(self, numeric: Columns, categorical: Columns) -> np.ndarray:
        assert numeric is not None
        return self.slope * numeric[:, :1]


def stream(change: int | None = None, n: int = 1500) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    slope = np.where(np.arange(n) < (n if change is None else change), 2, -2)
    return pd.DataFrame({"x": x, "y": slope * x + rng.normal(0, 0.5, n)})


def played(
    frame: pd.DataFrame,
    spec: PipelineSpec = SPEC,
    *,
    windows: int = 12,
    late: int = 1,
    **more: object,
) -> ReplayedRun:
    where = cut(len(frame), windows=windows, train_fraction=0.2, label_delay_windows=late)
    return replay(frame, spec, where, **{"fit": Line, "watch_inputs": False, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def healed() -> ReplayedRun:
    return played(stream(change=CHANGE))


def test_a_change_is_healed(healed: ReplayedRun) -> None:
    assert healed.heals("correct") + healed.heals("recalibrate") >= 1
    assert healed.window_scores[-1] < 1 < max(healed.window_scores)


def test_a_stream_without_change_is_left_as_it_is() -> None:
    run = played(stream())
    assert run.heals("retrain") <= 1
    assert run.score < 0.51


def test_every_window_is_checked_and_says_why(healed: ReplayedRun) -> None:
    assert [check.window for check in healed.checks] == [f"w{i:06d}" for i in range(1, 13)]
    assert all(check.decision.reason for check in healed.checks)
    assert healed.checks[0].champion == "0001"


def test_heals_are_the_attempts_of_checks_that_asked(healed: ReplayedRun) -> None:
    asked = [i for i, check in enumerate(healed.checks[:-1]) if check.decision.action == "heal"]
    assert [attempt.window for attempt in healed.attempts] == asked


def told(checks: Sequence[Check]) -> list[dict[str, Any]]:
    """All that checks say, but the seconds that a heal took: no two runs take the same."""
    return [check.model_dump(exclude={"decision": {"cpu_seconds"}}) for check in checks]


def test_what_a_heal_costs_is_measured_and_weighed(healed: ReplayedRun) -> None:
    decisions = [check.decision for check in healed.checks]
    first, *later = [one.cpu_seconds for one in decisions if one.depth == "correct"]
    assert first == 0, "there was no head yet whose seconds are known"
    assert all(seconds is not None and 0 < seconds < healed.cpu_seconds for seconds in later)
    assert {one.price for one in decisions if one.depth == "correct"} == {0.005}


def test_the_future_changes_nothing_of_the_past(healed: ReplayedRun) -> None:
    altered = stream(change=CHANGE)
    altered.loc[1100:, "y"] = 1e6
    again = played(altered)
    assert told(again.checks[:8]) == told(healed.checks[:8])
    np.testing.assert_array_equal(again.outputs[:800], healed.outputs[:800])


def test_labels_that_never_come_ask_for_nothing_by_themselves() -> None:
    run = played(stream(change=CHANGE), late=12)
    assert run.attempts == ()
    assert all(check.losses == check.trials == () for check in run.checks)


def test_without_labels_inputs_that_moved_are_asked_about() -> None:
    frame = stream()
    frame.loc[CHANGE:, "x"] += 5
    run = played(frame, windows=6, late=6, watch_inputs=True)
    assert {check.decision.ground for check in run.checks} == {"none", "input"}
    assert "x: mean" in next(c.decision.reason for c in run.checks if c.decision.action == "heal")


def test_rows_without_a_label_are_passed_over() -> None:
    frame = stream(change=CHANGE)
    frame.loc[::3, "y"] = np.nan
    run = played(frame)
    assert run.attempts
    assert np.isfinite(run.score)


def test_what_was_fitted_is_counted(healed: ReplayedRun) -> None:
    assert healed.fits >= 2 + len(healed.attempts)
    assert healed.cpu_seconds > 0


def classes(n: int = 1200) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 2))
    label = np.where(x[:, 0] > 0.5, "high", np.where(x[:, 1] > 0.5, "odd", "low"))
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "kind": rng.choice(["u", "v"], n), "y": label})


def spec_for(task: str) -> PipelineSpec:
    return PipelineSpec.model_validate(
        {"name": "toy", "task": task, "source": {"uri": "x"}, "target": "y"}
    )


def test_a_class_that_appears_late_is_learned() -> None:
    frame = classes()
    frame.loc[:600, "y"] = frame.loc[:600, "y"].replace("odd", "low")
    run = played(frame, spec_for("multiclass"), windows=10, late=0, fit=fit_booster)
    assert run.outputs.shape == (960, 3)
    assert np.isfinite(run.outputs).all()
    assert np.isfinite(run.score)


def test_one_class_at_first_is_answered_by_a_constant() -> None:
    frame = classes()
    frame["y"] = (frame["y"] == "high").astype(int)
    frame.loc[:400, "y"] = 0
    run = played(frame, spec_for("binary"), windows=10, late=0, fit=fit_booster)
    assert np.isfinite(run.outputs).all()
    assert run.window_scores[-1] > 0.8


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_empty_and_dying_columns_and_few_rows_are_survived(task: str) -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.normal(size=300), "dies": rng.normal(size=300), "none": np.nan})
    frame.loc[150:, "dies"] = np.nan
    frame["y"] = frame["x"] if task == "regression" else (frame["x"] > 0).astype(int)
    run = played(frame, spec_for(task), windows=50, late=0, fit=fit_booster)
    assert np.isfinite(run.outputs).all()
