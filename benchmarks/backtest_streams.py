"""Streams that the policy is measured on: real ones, and made ones that do not change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from perennial.datasets.source import read_source
from perennial.spec import PipelineSpec, load_spec

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared" / "data"
_DECLARED = {"bike": ("bike", 1), "elec2": ("elec2", 1), "flights-every-5": ("flights", 5)}
"""Folders under data/, and of how many rows one is taken."""
_SHARED = {
    "beijing": {
        "source": {"uri": "beijing_pm25.csv.gz"},
        "task": "regression",
        "metric": "rmse",
        "target": "PM2.5",
        "time": "ts",
        "ignore": ["PM10"],
    },
    "gas": {
        "source": {"uri": "gas_drift.csv.gz"},
        "task": "multiclass",
        "metric": "accuracy",
        "target": "gas",
        "ignore": ["batch", "concentration"],
    },
    "airquality": {
        "source": {"uri": "airquality.csv.gz"},
        "task": "regression",
        "metric": "rmse",
        "target": "CO(GT)",
        "time": "ts",
        "ignore": ["NMHC(GT)", "C6H6(GT)", "NOx(GT)", "NO2(GT)"],
    },
}
"""Files in ../shared/data, and how they are declared."""
_CONTROL_ROWS = 12_000


@dataclass(frozen=True)
class Stream:
    """A stream by its name; its rows are read when they are asked for."""

    name: str
    control: bool
    spec: PipelineSpec
    read: Callable[[], pd.DataFrame]


def streams() -> tuple[list[Stream], list[str]]:
    """Give the streams, real ones first, and the names of those whose source is not there."""
    real, absent = [], []
    for name, folder, spec, step in _real():
        if spec.source.made_by is None and not (folder / spec.source.uri).exists():
            absent.append(name)
            continue
        real.append(Stream(name, False, spec, _reader(spec, folder, step)))
    return [*real, *_controls()], absent


def _real() -> Iterator[tuple[str, Path, PipelineSpec, int]]:
    for name, (pipeline, step) in _DECLARED.items():
        folder = PROJECT / "data" / pipeline
        yield name, folder, load_spec(folder).model_copy(update={"name": name}), step
    for name, declared in _SHARED.items():
        yield name, SHARED, PipelineSpec.model_validate({"name": name, **declared}), 1


def _reader(spec: PipelineSpec, folder: Path, step: int) -> Callable[[], pd.DataFrame]:
    return lambda: read_source(spec, folder).iloc[::step].reset_index(drop=True)


def _controls() -> Iterator[Stream]:
    """Make streams of which no row tells anything that the first fraction did not."""
    makers: dict[str, tuple[str, str, Callable[[np.random.Generator], pd.DataFrame]]] = {
        "stationary": ("regression", "rmse", _stationary),
        "stationary-binary": ("binary", "auc", _stationary_binary),
        "noise": ("binary", "log_loss", _noise),
        "ar-noise": ("regression", "rmse", _autocorrelated),
    }
    for seed, (name, (task, metric, make)) in enumerate(makers.items()):
        declared = {"name": name, "task": task, "metric": metric, "target": "y"}
        spec = PipelineSpec.model_validate({**declared, "source": {"uri": "made"}})
        yield Stream(name, True, spec, partial(make, np.random.default_rng(seed)))


def _features(rng: np.random.Generator) -> pd.DataFrame:
    names = [f"x{i}" for i in range(8)]
    return pd.DataFrame(rng.normal(size=(_CONTROL_ROWS, len(names))), columns=names)


def _signal(x: pd.DataFrame) -> pd.Series:
    return 2 * x["x0"] + np.sin(2 * x["x1"]) + x["x2"] * x["x3"]


def _stationary(rng: np.random.Generator) -> pd.DataFrame:
    x = _features(rng)
    return x.assign(y=_signal(x) + rng.normal(size=len(x)))


def _stationary_binary(rng: np.random.Generator) -> pd.DataFrame:
    x = _features(rng)
    return x.assign(y=(rng.random(len(x)) < 1 / (1 + np.exp(-_signal(x)))).astype(int))


def _noise(rng: np.random.Generator) -> pd.DataFrame:
    """Nearly nothing to learn, so that each model is mostly its own sample's noise."""
    x = _features(rng)
    return x.assign(y=(rng.random(len(x)) < 1 / (1 + np.exp(-0.1 * x["x0"]))).astype(int))


def _autocorrelated(rng: np.random.Generator) -> pd.DataFrame:
    """What neighbouring rows share is noise: AR(1) with rho 0.95, half of the target's spread."""
    x = _features(rng)
    shocks = rng.normal(size=len(x))
    noise = np.zeros(len(x))
    for row in range(1, len(x)):
        noise[row] = 0.95 * noise[row - 1] + shocks[row]
    return x.assign(y=_signal(x) + noise)
