"""What a policy's run comes to in figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from perennial.backtest.baselines import BaselineRun, Refit
from perennial.backtest.hindsight import Hindsight
from perennial.backtest.replay import ReplayedRun
from perennial.backtest.result import CostCurve, PolicyResult, WindowDecision
from perennial.backtest.stream import Recorded
from perennial.evaluation.metrics import row_losses
from perennial.spec import Depth


def of_replay(run: ReplayedRun, recorded: Recorded) -> PolicyResult:
    """Take a replay of the loop together."""
    refused = run.refused
    decisions = [
        WindowDecision(
            window=number + 1,
            dates=check.dates,
            decision=check.decision.name,
            reason=check.decision.reason
            + (f"; refused: {refused[check.window]}" if check.window in refused else ""),
        )
        for number, check in enumerate(run.checks)
    ]
    heals = {depth: run.heals(depth) for depth in get_args(Depth)}
    return _result(run, recorded, heals, decisions)


def of_baseline(run: BaselineRun, recorded: Recorded, reason: str) -> PolicyResult:
    """Take a run of another policy together.

    Args:
        reason: why it retrained whenever it did.
    """
    retrained = set(run.starts)
    decisions = [
        WindowDecision(window=w, decision="retrain", reason=reason)
        if w in retrained
        else WindowDecision(window=w, decision="keep", reason="")
        for w in range(1, recorded.where.windows + 1)
    ]
    heals = {"correct": 0, "retrain": len(run.starts) - 1}
    return _result(run, recorded, heals, decisions)


def _result(
    run: ReplayedRun | BaselineRun,
    recorded: Recorded,
    heals: dict[str, int],
    decisions: Sequence[WindowDecision],
) -> PolicyResult:
    pooled, by_window = _losses(recorded, run.outputs)
    return PolicyResult(
        score=run.score,
        heals=heals,
        retrains=heals["retrain"],
        fits=run.fits,
        cpu_seconds=run.cpu_seconds,
        first_cpu_seconds=run.first_cpu_seconds,
        recovered=None,
        loss=pooled,
        window_scores=_finite(run.window_scores),
        window_losses=_finite(by_window),
        decisions=tuple(decisions),
    )


def labelled_rows(recorded: Recorded) -> tuple[int, ...]:
    """Count the rows of each window that have a label."""
    return tuple(len(recorded.labelled(low, high)) for low, high in _windows(recorded))


def cost_curve(mine: PolicyResult, back: Hindsight, refits: dict[int, Refit]) -> CostCurve:
    """Sweep alpha from where compute hardly counts to where it is all that counts.

    The scale is the price at which the dearest hindsight's compute weighs as much as all that
    retraining can gain. Version 1, which both make, costs neither anything.
    """
    seconds = [sum(refits[start].cpu_seconds for start in starts[1:]) for starts in back.starts]
    gain = max(back.losses[0] - min(back.losses), 1e-12)
    alphas = gain / max(seconds) * np.logspace(-3, 1, 41)
    costs = np.array(back.losses)[None, :] + alphas[:, None] * np.array(seconds)[None, :]
    return CostCurve(
        alpha=tuple(alphas.tolist()),
        perennial=tuple((mine.loss + alphas * mine.healing_cpu_seconds).tolist()),
        hindsight=tuple(costs.min(axis=1).tolist()),
        hindsight_retrains=tuple(costs.argmin(axis=1).tolist()),
    )


def _windows(recorded: Recorded) -> list[tuple[int, int]]:
    return list(pairwise(recorded.where.bounds.tolist()))


def _losses(recorded: Recorded, outputs: NDArray[Any]) -> tuple[float, list[float]]:
    """Mean row loss of answers: to all rows after the first fraction, and window by window."""
    spec, first = recorded.spec, recorded.where.first
    parts = []
    for low, high in _windows(recorded):
        rows = recorded.labelled(low, high)
        answers = outputs[rows - first]
        parts.append(row_losses(spec.task, spec.metric, recorded.y[rows], answers))
    return _mean(np.concatenate(parts)), [_mean(part) for part in parts]


def _mean(losses: NDArray[Any]) -> float:
    return float(losses.mean()) if len(losses) else math.nan


def _finite(scores: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(value if math.isfinite(value) else None for value in scores)
