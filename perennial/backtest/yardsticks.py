"""Yardsticks from outside: two online ensembles of River, and a trigger on the loss.

`arf` is River's Adaptive Random Forest (Gomes et al., "Adaptive random forests for evolving data
stream classification", Machine Learning 106, 2017), `srp` its Streaming Random Patches (Gomes, Read
and Bifet, "Streaming random patches for evolving data stream classification", ICDM 2019), both with
default parameters but for ten trees in each. They learn from a row when its label is known at a
window's end, in the order of the rows, and the next window is answered by the model then standing.
Numbers are standardised by the first fraction, what is missing is its median, text is an ordinal.

`cusum` refits the model of the reference policies on as many newest labelled rows as the first
fraction has, where Page-Hinkley's test (Page, "Continuous inspection schemes", Biometrika 41, 1954)
signals a rise of the loss of its answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.backtest.baselines import BaselineRun, assemble, refit, score_windows
from perennial.backtest.policies import YARDSTICKS, YardstickName
from perennial.backtest.stream import Recorded
from perennial.errors import SpecError
from perennial.evaluation.metrics import row_losses
from perennial.evaluation.yardstick import Encoder, raw_features
from perennial.loop.meter import Meter

REASONS: dict[str, str] = {
    "arf": "learns from each row whose label comes",
    "srp": "learns from each row whose label comes",
    "cusum": "the loss signals",
}
"""Why they change their model."""
_TREES = 10
_TOLERATED = 0.05
"""Rise of the mean loss that Page-Hinkley passes over, in standard deviations of a row's loss."""
_SIGNAL = 50.0
"""Sum of what exceeds it at which it signals, in the same unit."""


def check_installed(policies: Sequence[str]) -> None:
    """Refuse yardsticks that cannot be run here.

    Raises:
        SpecError: River is not installed.
    """
    needing = [name for name in YARDSTICKS if name in policies]
    if needing and find_spec("river") is None:
        raise SpecError(
            f"policies: {', '.join(needing)} need River, which is not installed: "
            "pip install -e '.[yardsticks]' -c constraints.txt"
        )


def follow(name: YardstickName, recorded: Recorded) -> BaselineRun:
    """Replay a yardstick over a stream."""
    return _refit_at_signals(recorded) if name == "cusum" else _learn_online(name, recorded)


def _learn_online(name: YardstickName, recorded: Recorded) -> BaselineRun:
    where, meter = recorded.where, Meter()
    x, model = _features(recorded), _ensemble(name, recorded)
    y = recorded.y.tolist()
    outputs = np.zeros((where.end - where.first, recorded.width))
    first_seconds, known = 0.0, 0
    for window in range(where.windows):
        until = where.labelled(window)
        with meter.counted():
            for row in recorded.labelled(known, until).tolist():
                model.learn_one(x[row], y[row])
        known = until
        if window == 0:
            first_seconds = meter.cpu_seconds
        for row in range(*where.rows(window)):
            outputs[row - where.first] = _answer(model, x[row], recorded)
    pooled, by_window = score_windows(
        recorded.frame, recorded.spec, recorded.classes, where, outputs
    )
    return BaselineRun(name, by_window, pooled, outputs, (0,), meter.cpu_seconds, first_seconds)


def _features(recorded: Recorded) -> list[dict[str, float]]:
    """Give the raw features of each row as River takes them."""
    frame, first = recorded.frame, recorded.where.first
    features = raw_features(frame, recorded.spec)
    x = Encoder.of(frame.iloc[:first], features).encode(frame).astype(np.float64)
    x[:, np.isnan(x[:first]).all(axis=0)] = 0.0  # what the first fraction never has
    x = np.where(np.isnan(x), np.nanmedian(x[:first], axis=0), x)
    spread = x[:first].std(axis=0)
    x = (x - x[:first].mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    names = [feature.name for feature in features]
    return [dict(zip(names, row, strict=True)) for row in x.tolist()]


def _ensemble(name: YardstickName, recorded: Recorded) -> Any:
    from river import ensemble, forest

    kinds = {
        ("arf", True): forest.ARFRegressor,
        ("arf", False): forest.ARFClassifier,
        ("srp", True): ensemble.SRPRegressor,
        ("srp", False): ensemble.SRPClassifier,
    }
    kind = kinds[name, recorded.spec.task == "regression"]
    return kind(n_models=_TREES, seed=recorded.spec.model.seed)


def _answer(model: Any, x: dict[str, float], recorded: Recorded) -> NDArray[np.float64]:
    """Answer a row as a packaged graph would: (width,)."""
    if recorded.spec.task == "regression":
        return np.array([model.predict_one(x)])
    chances = np.zeros(max(2, recorded.width))
    for index, chance in model.predict_proba_one(x).items():
        chances[index] = chance
    if chances.sum() == 0:
        chances[:] = 1 / len(chances)
    return chances if recorded.width > 1 else chances[1:]


def _refit_at_signals(recorded: Recorded) -> BaselineRun:
    where, spec = recorded.where, recorded.spec
    refits = {0: refit(recorded, 0)}
    outputs = refits[0].outputs.copy()
    standing, seen, trigger = 0, where.first, _Trigger()
    for window in range(1, where.windows):
        until = where.labelled(window)
        # Those that the model before it answered tell nothing of this one.
        rows = recorded.labelled(max(seen, int(where.bounds[standing])), until)
        seen = max(seen, until)
        losses = row_losses(spec.task, spec.metric, recorded.y[rows], outputs[rows - where.first])
        if trigger.signals(losses):
            standing, trigger = window, _Trigger()
            refits[window] = refit(recorded, window)
            outputs[where.bounds[window] - where.first :] = refits[window].outputs
    starts = tuple(refits)
    return assemble("cusum", recorded.frame, spec, where, starts, refits)


class _Trigger:
    """Page-Hinkley's test on row losses, whose unit is their standard deviation in the first
    window."""

    def __init__(self) -> None:
        from river.drift import PageHinkley

        self._test = PageHinkley(delta=_TOLERATED, threshold=_SIGNAL, mode="up")
        self._unit: float | None = None

    def signals(self, losses: NDArray[Any]) -> bool:
        """Look at the losses of further rows, in their order."""
        if len(losses) == 0:
            return False
        if self._unit is None:
            spread = float(losses.std())
            self._unit = spread if math.isfinite(spread) and spread > 0 else 1.0
        for loss in (losses / self._unit).tolist():
            self._test.update(loss)
            if self._test.drift_detected:
                return True
        return False
