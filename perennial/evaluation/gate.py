"""The gate: what a candidate must show before it is registered.

Candidate and champion answer the same rows, the newest labelled ones, which neither was trained on.
Their losses are compared row by row, so that hard rows weigh on both alike; the interval allows for
rows that resemble their neighbours (`perennial.evaluation.paired`).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from perennial.evaluation.paired import BatchMean, batch_mean, paired_losses
from perennial.spec import Gates, MetricName, Task

MIN_ROWS = 10
"""With fewer rows no candidate is let through."""
_WANTED_ROWS = 30

CheckName = Literal["rows", "finite", "better_than_constant", "not_worse_than_champion"]


class GateCheck(BaseModel):
    """One thing a candidate had to show."""

    model_config = ConfigDict(frozen=True)

    name: CheckName
    figure: float | None
    """What was measured; None where it could not be."""
    threshold: float
    low: float | None = None
    """Lower end of the figure's interval at the gate's (one-sided) confidence."""
    high: float | None = None
    passed: bool
    detail: str


class GateDecision(BaseModel):
    """Whether a candidate may be registered, and why."""

    model_config = ConfigDict(frozen=True)

    passed: bool
    rows: int
    reason: str
    checks: tuple[GateCheck, ...]


def holdout_rows(labelled: int, window: int, gates: Gates) -> int:
    """How many of the newest labelled rows are kept from training for the gate.

    The share ``gates.holdout``, at most half a window of ``window`` rows: the newest rows are what
    a candidate would learn most from. Where that is very little, 30 rows, but never more than a
    third of all.
    """
    wanted = min(int(labelled * gates.holdout), window // 2)
    return min(max(wanted, _WANTED_ROWS), labelled // 3)


def trivial_output(
    task: Task, metric: MetricName, training_y: NDArray[Any], width: int
) -> NDArray[Any]:
    """Give the best constant answer, as one output row of shape (width,).

    The mean of the training target for rmse, its median for mae, the class shares for classes (the
    majority class, where votes are counted).
    """
    if len(training_y) == 0:
        return np.full(width, 0.0 if task == "regression" else 1 / max(2, width))
    if task == "regression":
        middle = np.median if metric == "mae" else np.mean
        return np.array([float(middle(training_y))])
    shares = np.bincount(training_y.astype(np.intp), minlength=max(2, width)) / len(training_y)
    return shares if width > 1 else shares[1:2]


def judge(
    *,
    task: Task,
    metric: MetricName,
    y: NDArray[Any],
    candidate: NDArray[Any],
    champion: NDArray[Any] | None,
    training_y: NDArray[Any],
    gates: Gates,
) -> GateDecision:
    """Hold a candidate against the champion and against a constant answer.

    Args:
        y: true values or class indices of the gate's rows (rows,), in time order.
        candidate: the candidate's output on them (rows, width).
        champion: the champion's output on the same rows; None for a pipeline's first version.
        training_y: the candidate's training target, from which the constant answer is taken.
        gates: margin and confidence.
    """
    checks = [_enough_rows(len(y)), _finite(candidate)]
    if all(check.passed for check in checks):
        mine = paired_losses(task, metric, y, candidate)
        constant = trivial_output(task, metric, training_y, candidate.shape[1])
        trivial = paired_losses(task, metric, y, np.tile(constant, (len(y), 1)))
        checks.append(_better_than_constant(mine, trivial, gates))
        if champion is not None:
            theirs = paired_losses(task, metric, y, champion)
            checks.append(_not_worse_than_champion(mine, theirs, gates))
    failed = [check.detail for check in checks if not check.passed]
    return GateDecision(
        passed=not failed,
        rows=len(y),
        reason="; ".join(failed) if failed else checks[-1].detail,
        checks=tuple(checks),
    )


def _enough_rows(rows: int) -> GateCheck:
    passed = rows >= MIN_ROWS
    detail = f"{rows} labelled rows to judge by" + ("" if passed else f", {MIN_ROWS} are needed")
    return GateCheck(name="rows", figure=rows, threshold=MIN_ROWS, passed=passed, detail=detail)


def _finite(candidate: NDArray[Any]) -> GateCheck:
    bad = int((~np.isfinite(candidate)).any(axis=1).sum()) if len(candidate) else 0
    return GateCheck(
        name="finite",
        figure=bad,
        threshold=0,
        passed=bad == 0,
        detail="every answer is a number" if bad == 0 else f"{bad} answers are not a number",
    )


def _better_than_constant(mine: NDArray[Any], trivial: NDArray[Any], gates: Gates) -> GateCheck:
    """Refuse only what is clearly worse: a weak signal must not keep a pipeline from starting."""
    change, low, high = _relative(batch_mean(mine - trivial), float(trivial.mean()), gates)
    passed = low <= 0
    return GateCheck(
        name="better_than_constant",
        figure=_number(change),
        threshold=0.0,
        low=_number(low),
        high=_number(high),
        passed=passed,
        detail=f"loss {change:+.1%} against a constant answer"
        + ("" if passed else ": clearly worse than no model at all"),
    )


def _not_worse_than_champion(mine: NDArray[Any], theirs: NDArray[Any], gates: Gates) -> GateCheck:
    change, low, high = _relative(batch_mean(mine - theirs), float(theirs.mean()), gates)
    passed = high <= gates.margin
    return GateCheck(
        name="not_worse_than_champion",
        figure=_number(change),
        threshold=gates.margin,
        low=_number(low),
        high=_number(high),
        passed=passed,
        detail=f"loss {change:+.1%} against the champion (at most {high:+.1%} at "
        f"{gates.confidence:.0%} confidence, {gates.margin:+.1%} is allowed)",
    )


def _relative(difference: BatchMean, base: float, gates: Gates) -> tuple[float, float, float]:
    """The difference and its one-sided bounds as shares of a loss that it is held against."""
    low, high = difference.interval(2 * gates.confidence - 1)
    scale = base if base > 0 else 1.0
    return difference.mean / scale, low / scale, high / scale


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
