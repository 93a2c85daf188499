"""The loss estimated without labels beside the truth, on real streams."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from perennial.datasets.source import read_source
from perennial.drift.estimate import fit_loss_estimator
from perennial.evaluation.paired import paired_losses
from perennial.evaluation.yardstick import (
    encode_target,
    fit_yardstick,
    raw_features,
    target_classes,
)
from perennial.spec import load_spec

DATA = Path(__file__).resolve().parents[1] / "data"
STREAMS = ("bike", "elec2", "flights")
WINDOWS, FIRST = 50, 0.2
LEARNED, DELAY = 5, 5
"""The model is fitted on the first fifth; the estimator, anew at each window, on the newest five
windows whose labels have come, five windows late."""


@dataclass(frozen=True)
class Estimates:
    """Mean absolute error of the estimated loss, as a share of the true one."""

    stream: str
    metric: str
    windows: int
    error: float
    naive_error: float
    """Of taking the loss to stay as it was where the estimator learned."""
    correlation: float
    """Of estimate and truth, over windows."""
    naive_correlation: float


def measure_estimates() -> list[Estimates]:
    """Measure each stream that is there, with a model that is never retrained."""
    return [_measure(name) for name in STREAMS if (DATA / name / "pipeline.yaml").exists()]


def _measure(name: str) -> Estimates:
    folder = DATA / name
    spec = load_spec(folder)
    frame = read_source(spec, folder)
    frame = frame[frame[spec.target].notna()].reset_index(drop=True)
    classes = () if spec.task == "regression" else target_classes(frame[spec.target])
    first = int(len(frame) * FIRST)
    model = fit_yardstick(frame[:first], spec, classes)
    bounds = first + (len(frame) - first) * np.arange(WINDOWS + 1) // WINDOWS
    output = np.vstack([np.zeros((first, model.width)), model.predict(frame[first:])])
    y = encode_target(frame[spec.target], spec, classes)
    found = []
    for window in range(LEARNED + DELAY, WINDOWS):
        known = slice(bounds[window - LEARNED - DELAY], bounds[window - DELAY])
        rows = slice(bounds[window], bounds[window + 1])
        estimator = fit_loss_estimator(
            spec.task, spec.metric, raw_features(frame, spec), frame[known], output[known], y[known]
        )
        true, usual = (
            float(paired_losses(spec.task, spec.metric, y[part], output[part]).mean())
            for part in (rows, known)
        )
        found.append((true, estimator.estimate(frame[rows], output[rows]), usual))
    # The root, as the metric has it: squared errors would be judged by their largest.
    truth, said, usual_loss = np.array(found).T ** (0.5 if spec.metric == "rmse" else 1)
    return Estimates(
        stream=name,
        metric=spec.metric,
        windows=len(found),
        error=float(np.mean(np.abs(said - truth) / truth)),
        naive_error=float(np.mean(np.abs(usual_loss - truth) / truth)),
        correlation=float(np.corrcoef(said, truth)[0, 1]),
        naive_correlation=float(np.corrcoef(usual_loss, truth)[0, 1]),
    )
