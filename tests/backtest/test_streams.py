"""Streams of every kind: odd columns are survived, and what does not change is not made worse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.backtest.compare import backtest
from perennial.backtest.replay import ReplayedRun, replay
from perennial.backtest.stream import cut
from perennial.errors import TrainingError
from perennial.evaluation.metrics import GREATER_IS_BETTER, score
from perennial.evaluation.yardstick import fit_yardstick, target_classes
from perennial.spec import MetricName, PipelineSpec, Task

ROWS = 2000


def spec_for(task: Task, metric: MetricName | None = None) -> PipelineSpec:
    declared = {"name": "toy", "task": task, "source": {"uri": "x"}, "target": "y"}
    return PipelineSpec.model_validate(declared | ({"metric": metric} if metric else {}))


def played(frame: pd.DataFrame, spec: PipelineSpec, *, windows: int = 12) -> ReplayedRun:
    where = cut(len(frame), windows=windows, train_fraction=0.2)
    return replay(frame, spec, where, watch_inputs=False)


def features(seed: int = 0, rows: int = ROWS) -> tuple[np.random.Generator, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    return rng, pd.DataFrame(rng.normal(size=(rows, 4)), columns=list("abcd"))


def values(noise: str) -> pd.DataFrame:
    rng, frame = features()
    spread = {"tails": rng.standard_t(1.5, ROWS), "skewed": rng.lognormal(0, 1.5, ROWS)}[noise]
    return frame.assign(y=2 * frame["a"] + frame["b"] * frame["c"] + spread)


def two_classes(odds: float) -> pd.DataFrame:
    rng, frame = features()
    chance = 1 / (1 + np.exp(-(frame["a"] + frame["b"] * frame["c"] + odds)))
    return frame.assign(y=(rng.random(ROWS) < chance).astype(int))


@pytest.mark.parametrize(
    ("task", "metric", "frame"),
    [
        ("regression", "mae", values("tails")),
        ("regression", "mae", values("skewed")),
        ("binary", "accuracy", two_classes(0)),
        ("binary", "log_loss", two_classes(-3)),
        ("binary", "balanced_accuracy", two_classes(-3)),
    ],
)
def test_a_stream_without_change_is_not_made_worse(
    task: Task, metric: MetricName, frame: pd.DataFrame
) -> None:
    spec = spec_for(task, metric)
    run = played(frame, spec)
    first = ROWS - len(run.outputs)
    classes = () if task == "regression" else target_classes(frame["y"])
    model = fit_yardstick(frame.iloc[:first], spec, classes)
    never = score(metric, frame["y"].to_numpy()[first:], model.predict(frame.iloc[first:]))
    lost = never - run.score if GREATER_IS_BETTER[metric] else run.score - never
    assert lost <= 0.01 * never
    assert run.heals("retrain") <= 1


def test_a_rare_class_is_voted_for_where_every_class_counts_alike() -> None:
    rare = played(two_classes(-3), spec_for("binary", "balanced_accuracy"))
    assert rare.score > 0.6


def test_columns_of_every_kind_are_taken() -> None:
    rng, frame = features(rows=600)
    frame["empty"], frame["no_text"] = np.nan, None
    frame["dies"] = frame["a"].where(frame.index < 300)
    frame["flag"] = rng.random(600) < 0.5
    frame["when"] = pd.date_range("2020", periods=600, freq="h")
    frame["text"] = np.where(rng.random(600) < 0.2, None, rng.choice(["u", "v"], 600))
    frame["y"] = (frame["a"] + frame["flag"]).where(rng.random(600) < 0.9)
    spec = spec_for("regression")
    run = played(frame, spec)
    assert np.isfinite(run.outputs).all()
    assert np.isfinite(run.score)
    never = fit_yardstick(frame.iloc[:120], spec, ())
    assert np.isfinite(never.predict(frame)).all()


def test_twelve_classes_one_of_them_late() -> None:
    rng, frame = features(rows=1000)
    frame["y"] = [f"c{number}" for number in rng.integers(0, 11, 1000)]
    frame.loc[(frame.index > 500) & (frame["a"] > 1), "y"] = "c11"
    run = played(frame, spec_for("multiclass"), windows=5)
    assert run.outputs.shape[1] == len(target_classes(frame["y"])) == 12
    np.testing.assert_allclose(run.outputs.sum(axis=1), 1, atol=1e-4)


def test_a_class_that_appears_late_is_learned() -> None:
    rng, frame = features()
    frame["y"] = np.where(frame["a"] + rng.normal(0, 0.3, ROWS) > 0, "p", "q")
    frame.loc[(frame.index > 1000) & (frame["b"] > 1), "y"] = "r"
    run = played(frame, spec_for("multiclass"), windows=20)
    assert "never seen" in next(
        c.decision.reason for c in run.checks if c.decision.depth == "retrain"
    )
    assert run.window_scores[-1] > 0.8


def test_two_changes_in_one_window_are_healed() -> None:
    rng, frame = features()
    slope = np.select([frame.index < 900, frame.index < 940], [2, -4], 0.5)
    frame["y"] = slope * frame["a"] + rng.normal(0, 0.3, ROWS)
    run = played(frame, spec_for("regression"))
    assert run.window_scores[-1] < 0.7 < max(run.window_scores)


@pytest.mark.parametrize("windows", [12, 50])
def test_three_hundred_rows_are_healed(windows: int) -> None:
    rng, frame = features(rows=300)
    slope = np.where(frame.index < 130, 2.0, -2.0)
    frame["y"] = slope * frame["a"] + rng.normal(0, 0.3, 300)
    spec = spec_for("regression")
    run = played(frame, spec, windows=windows)
    first = 300 - len(run.outputs)
    unhealed = fit_yardstick(frame[:first], spec, ()).predict(frame[first:])
    never = score("rmse", frame["y"].to_numpy()[first:], unhealed)
    assert run.score < 0.8 * never
    assert run.fits < 40


@pytest.mark.parametrize(
    ("task", "y", "said"),
    [
        ("binary", ["u", "v", "w"], "write task: multiclass"),
        ("regression", ["u", "v", "w"], "no number"),
        ("regression", [1.0, 2.0, np.inf], "infinite"),
        ("binary", ["u", "u", None], "one class only"),
    ],
)
def test_a_target_that_does_not_fit_the_task_is_refused(
    task: Task, y: list[object], said: str
) -> None:
    frame = pd.DataFrame({"x": np.arange(300), "y": y * 100})
    with pytest.raises(TrainingError, match=said):
        backtest(frame, spec_for(task), windows=10)
