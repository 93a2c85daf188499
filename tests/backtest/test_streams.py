"""Streams of every kind: odd columns are survived, and what does not change is not made worse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.backtest.compare import backtest
from perennial.errors import TrainingError
from perennial.evaluation.metrics import GREATER_IS_BETTER, score
from perennial.evaluation.yardstick import fit_yardstick, target_classes
from perennial.spec import MetricName, PipelineSpec, Task
from tests.backtest.playing import played, spec

ROWS = 1800


def spec_for(task: Task, metric: MetricName | None = None) -> PipelineSpec:
    return spec(task=task, **({"metric": metric} if metric else {}))


def boosted(task: Task, metric: MetricName | None = None) -> PipelineSpec:
    quick = {"model": {"estimators": ["hist_gradient_boosting"]}}
    return spec(task=task, **quick, **({"metric": metric} if metric else {}))


def features(seed: int = 0, rows: int = ROWS) -> tuple[np.random.Generator, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    return rng, pd.DataFrame(rng.normal(size=(rows, 4)), columns=list("abcd"))


def values(noise: str) -> pd.DataFrame:
    rng, frame = features()
    spread = {"tails": rng.standard_t(1.5, ROWS), "skewed": rng.lognormal(0, 1.5, ROWS)}[noise]
    return frame.assign(y=2 * frame["a"] + frame["b"] * frame["c"] + spread)


def two_classes(odds: float, slope: float = 1.0) -> pd.DataFrame:
    rng, frame = features()
    chance = 1 / (1 + np.exp(-(slope * (frame["a"] + frame["b"] * frame["c"]) + odds)))
    return frame.assign(y=(rng.random(ROWS) < chance).astype(int))


@pytest.mark.parametrize(
    ("task", "metric", "frame"),
    [
        ("regression", "mae", values("tails")),
        ("regression", "mae", values("skewed")),
        ("binary", "accuracy", two_classes(0, slope=3.0)),
        ("binary", "log_loss", two_classes(-1)),
        ("binary", "balanced_accuracy", two_classes(-1)),
    ],
)
def test_a_stream_without_change_is_not_made_worse(
    task: Task, metric: MetricName, frame: pd.DataFrame
) -> None:
    declared = boosted(task, metric)
    run = played(frame, declared, windows=8)
    first = ROWS - len(run.outputs)
    classes = () if task == "regression" else target_classes(frame["y"])
    model = fit_yardstick(frame.iloc[:first], declared, classes)
    never = score(metric, frame["y"].to_numpy()[first:], model.predict(frame.iloc[first:]))
    lost = never - run.score if GREATER_IS_BETTER[metric] else run.score - never
    assert lost <= 0.01 * never
    assert run.heals("retrain") <= 1


def test_columns_of_every_kind_are_taken() -> None:
    rng, frame = features(rows=600)
    frame["empty"], frame["no_text"] = np.nan, None
    frame["dies"] = frame["b"].where(frame.index < 300)
    frame["flag"] = rng.random(600) < 0.5
    frame["when"] = pd.date_range("2020", periods=600, freq="h")
    frame["text"] = np.where(rng.random(600) < 0.2, None, rng.choice(["u", "v"], 600))
    noisy = frame["a"] + frame["flag"] + rng.normal(0, 0.3, 600)
    frame["y"] = noisy.where(rng.random(600) < 0.9)
    run = played(frame, spec_for("regression"), windows=6, late=0)
    assert np.isfinite(run.outputs).all()
    assert run.score < 0.5
    never = fit_yardstick(frame.iloc[:120], spec_for("regression"), ())
    assert np.isfinite(never.predict(frame)).all()


def test_twelve_classes_one_of_them_late() -> None:
    rng, frame = features(rows=1000)
    frame["y"] = [f"c{number}" for number in rng.integers(0, 11, 1000)]
    frame.loc[(frame.index > 500) & (frame["a"] > 1), "y"] = "c11"
    run = played(frame, spec_for("multiclass"), windows=5, late=0)
    assert run.outputs.shape[1] == len(target_classes(frame["y"])) == 12
    np.testing.assert_allclose(run.outputs.sum(axis=1), 1, atol=1e-4)


def test_a_class_that_appears_late_is_learned() -> None:
    """A model that begins anew may be refused at first: it is held against a whole mixture."""
    rng, frame = features(rows=1800)
    frame["y"] = np.where(frame["a"] + rng.normal(0, 0.3, 1800) > 0, "p", "q")
    frame.loc[(frame.index > 500) & (frame["b"] > 1), "y"] = "r"
    run = played(frame, boosted("multiclass"), windows=15, late=0)
    asked = next(c for c in run.checks if c.decision.depth == "retrain")
    assert "never seen" in asked.decision.reason
    assert run.outputs.shape == (1440, 3)
    assert run.outputs[:300, 2].max() == 0, "nobody knew it yet"
    assert run.window_scores[-1] > 0.85


def test_one_class_at_first_cannot_be_begun_with() -> None:
    """Nor can it in production: a person has to give rows of the other class."""
    _, frame = features(rows=600)
    frame["y"] = (frame["a"] > 0.5).astype(int)
    frame.loc[:300, "y"] = 0
    with pytest.raises(TrainingError, match="version 1 of toy was not made: y: expect"):
        played(frame, spec_for("binary"), windows=5, late=0)


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_empty_and_dying_columns_and_few_rows_are_survived(task: Task) -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.normal(size=300), "dies": rng.normal(size=300), "none": np.nan})
    frame.loc[150:, "dies"] = np.nan
    truth = frame["x"] + rng.normal(0, 0.5, 300)
    frame["y"] = truth if task == "regression" else (truth > 0).astype(int)
    run = played(frame, spec_for(task), windows=12, late=0)
    assert np.isfinite(run.outputs).all()
    assert np.isfinite(run.score)


def test_two_changes_in_one_window_are_healed() -> None:
    rng, frame = features()
    slope = np.select([frame.index < 700, frame.index < 740], [2, -4], 0.5)
    frame["y"] = slope * frame["a"] + rng.normal(0, 0.3, ROWS)
    run = played(frame, late=0)
    assert run.window_scores[-1] < 0.7 < max(run.window_scores)


def test_three_hundred_rows_are_healed() -> None:
    rng, frame = features(rows=300)
    slope = np.where(frame.index < 100, 2.0, -2.0)
    frame["y"] = slope * frame["a"] + rng.normal(0, 0.3, 300)
    run = played(frame, windows=12, late=0)
    first = 300 - len(run.outputs)
    unhealed = fit_yardstick(frame[:first], spec(), ()).predict(frame[first:])
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
