"""The loop, replayed, heals a change, leaves the unchanged alone and sees nothing of the future."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.backtest.simulate import SimulatedRun, simulate
from perennial.spec import PipelineSpec

CHANGE = 800
SPEC = PipelineSpec.model_validate(
    {"name": "toy", "task": "regression", "source": {"uri": "x"}, "target": "y"}
)


class Line:
    """Least squares through x: a trainer that takes no time."""

    def __init__(self, frame: pd.DataFrame, spec: PipelineSpec) -> None:
        x, y = frame["x"].to_numpy(), frame[spec.target].to_numpy()
        self.slope = float(x @ y / (x @ x))

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return self.slope * frame["x"].to_numpy()[:, None]


def stream(change: int | None = None, n: int = 1500) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    slope = np.where(np.arange(n) < (n if change is None else change), 2, -2)
    return pd.DataFrame({"x": x, "y": slope * x + rng.normal(0, 0.5, n)})


def replay(frame: pd.DataFrame, **more: object) -> SimulatedRun:
    return simulate(frame, SPEC, windows=12, train=Line, probe=Line, watch_inputs=False, **more)


@pytest.fixture(scope="module")
def healed() -> SimulatedRun:
    return replay(stream(change=CHANGE))


def test_a_change_is_healed(healed: SimulatedRun) -> None:
    assert healed.retrains >= 1
    assert healed.window_scores[-1] < 1 < max(healed.window_scores)


def test_a_stream_without_change_is_left_in_peace() -> None:
    run = replay(stream())
    assert run.retrains <= 1
    assert len(run.attempts) <= 2


def test_every_window_is_checked_and_says_why(healed: SimulatedRun) -> None:
    assert [check.window for check in healed.checks] == [f"w{i:06d}" for i in range(1, 13)]
    assert all(check.decision.reason for check in healed.checks)
    assert healed.checks[0].champion == "0001"
    assert healed.checks[-1].champion == f"{1 + healed.retrains:04d}"


def test_heals_are_the_attempts_of_checks_that_asked(healed: SimulatedRun) -> None:
    asked = [i for i, check in enumerate(healed.checks) if check.decision.action == "heal"]
    assert [attempt.window for attempt in healed.attempts] == asked
    assert healed.retrains + healed.refused == len(asked)


def test_the_future_changes_nothing_of_the_past(healed: SimulatedRun) -> None:
    altered = stream(change=CHANGE)
    altered.loc[1100:, "y"] = 1e6
    again = replay(altered)
    assert again.checks[:8] == healed.checks[:8]
    np.testing.assert_array_equal(again.outputs[:800], healed.outputs[:800])


def test_labels_that_never_come_ask_for_nothing_by_themselves() -> None:
    run = replay(stream(change=CHANGE), label_delay_windows=12)
    assert run.attempts == ()
    assert all(check.losses == () for check in run.checks)


def test_without_labels_inputs_that_moved_are_asked_about() -> None:
    frame = stream()
    frame.loc[CHANGE:, "x"] += 5
    run = simulate(frame, SPEC, windows=6, train=Line, probe=Line, label_delay_windows=6)
    grounds = {check.decision.ground for check in run.checks}
    assert grounds == {"none", "input"}
    assert "x: mean" in next(c.decision.reason for c in run.checks if c.decision.action == "heal")


def test_rows_without_a_label_are_passed_over() -> None:
    frame = stream(change=CHANGE)
    frame.loc[::3, "y"] = np.nan
    run = replay(frame)
    assert run.retrains >= 1
    assert np.isfinite(run.score)
