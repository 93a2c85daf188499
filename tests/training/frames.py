"""Small streams with something to learn in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from perennial.spec import PipelineSpec

TASKS = ("regression", "binary", "multiclass")
ESTIMATORS = ("hist_gradient_boosting", "linear", "mlp")
COLUMNS = (
    "numeric",
    "strings",
    "mixed",
    "empty column",
    "constant column",
    "high cardinality",
    "infinite values",
    "tiny",
)


def make_spec(task: str, *estimators: str, **model: Any) -> PipelineSpec:
    """A declaration with the target ``y`` and the time ``ts``."""
    return PipelineSpec.model_validate(
        {
            "name": "stream",
            "task": task,
            "source": {"uri": "stream.csv"},
            "target": "y",
            "time": "ts",
            "model": {"estimators": estimators or ESTIMATORS, **model},
        }
    )


def make_frame(task: str, columns: str = "mixed", rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """Rows in time order whose target follows from their features, and some noise."""
    if columns == "tiny":
        columns, rows = "mixed", 60
    rng = np.random.default_rng(seed)
    size = rng.normal(3.0, 2.0, rows)
    age = rng.integers(0, 90, rows)
    colour = rng.choice(["red", "green", "blue", "grün"], rows)
    signal = 0.4 * size + 0.01 * age + (colour == "red") + rng.normal(0, 0.2, rows)
    frame = _columns(columns, size, age, colour, rng)
    frame.insert(0, "ts", pd.date_range("2026-01-01", periods=rows, freq="h").astype(str))
    return frame.assign(y=make_target(task, signal))


def make_target(task: str, signal: Any) -> Any:
    """Values, two classes as ints, or three as strings."""
    if task == "regression":
        return 1000.0 + 50.0 * signal
    if task == "binary":
        return (signal > np.median(signal)).astype(int)
    return np.array(["high", "low", "middle"])[np.digitize(signal, np.quantile(signal, [0.3, 0.7]))]


def _columns(kind: str, size: Any, age: Any, colour: Any, rng: Any) -> pd.DataFrame:
    rows = len(size)
    numbers = pd.DataFrame({"size": size, "age": age, "member": age > 40})
    if kind == "numeric":
        return numbers
    if kind == "strings":
        return pd.DataFrame({"colour": colour, "shape": rng.choice(["round", "flat"], rows)})
    frame = numbers.assign(colour=colour)
    if kind == "empty column":
        return frame.assign(nothing=np.nan, void=pd.Series([None] * rows, dtype=object))
    if kind == "constant column":
        return frame.assign(same=7.5, word="same")
    if kind == "high cardinality":
        return frame.assign(tail=[f"N{number}" for number in rng.integers(0, rows // 3, rows)])
    if kind == "infinite values":
        return frame.assign(size=np.where(rng.random(rows) < 0.05, np.inf, size))
    return frame.assign(
        size=np.where(rng.random(rows) < 0.2, np.nan, size),
        colour=pd.Series(colour, dtype=object).where(rng.random(rows) > 0.2, None),
        grade=pd.Categorical(rng.choice(["a", "b"], rows)),
    )
