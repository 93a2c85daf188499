"""The gate: what a candidate must show before it is registered.

Candidate and champion answer the same rows, the newest labelled ones, which neither was trained on.
Their losses are compared row by row, so that hard rows weigh on both alike; the interval allows for
rows that resemble their neighbours (`perennial.evaluation.paired`). What the package itself has to
show stands in `perennial.evaluation.packaged`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.evaluation.answers import Answers
from perennial.evaluation.calibration import (
    as_frequent,
    calibration_change,
    calibration_error,
)
from perennial.evaluation.decision import GateCheck, GateDecision, SliceResult, decide
from perennial.evaluation.division import MIN_ROWS
from perennial.evaluation.paired import BatchMean, batch_mean, paired_losses
from perennial.evaluation.slices import ALPHA, find_slices, judge_slices
from perennial.evaluation.trivial import last_value_output, trivial_output
from perennial.spec import Gates, MetricName

BROKEN = 1.0
"""How much more loss than the champion's, on all rows or in a slice, shows that a candidate which
goes on with its mixture is broken. What is less its shares even out: one window is mostly chance.
"""
HOPELESS = 3.0
"""The same, however wide the interval is: of few rows nothing is sure."""


def judge(
    answers: Answers,
    gates: Gates,
    *,
    goes_on: bool = False,
    rematch: bool = False,
    frame: pd.DataFrame | None = None,
    features: tuple[str, ...] = (),
) -> GateDecision:
    """Hold a candidate against the champion and against answers that need no model.

    Args:
        gates: margins and confidence.
        goes_on: the candidate goes on with the champion's mixture: whether it is better its shares
            will show, and it is refused only where it is broken.
        rematch: the champion's trial answers for it.
        frame: the gate's rows, by which they are cut into slices; None: they are not.
        features: columns of ``frame`` that are searched for slices.
    """
    task, metric, y, champion = answers.task, answers.metric, answers.y, answers.champion
    training_y, width, lag = answers.training_y, answers.width, answers.lag
    checks = [_enough_rows(len(y)), _finite(answers.candidate)]
    slices: tuple[SliceResult, ...] = ()
    if all(check.passed for check in checks):
        mine = paired_losses(task, metric, y, answers.candidate)
        theirs = None if champion is None else paired_losses(task, metric, y, champion)
        constant = trivial_output(task, metric, training_y, width)
        trivial = paired_losses(task, metric, y, np.tile(constant, (len(y), 1)))
        worse_stands = goes_on and theirs is not None and bool(mine.mean() < theirs.mean())
        checks.append(
            _better_than_constant(
                mine, trivial, gates, first=theirs is None, worse_stands=worse_stands
            )
        )
        if len(training_y) > lag:
            last = last_value_output(task, y, training_y, width, lag)
            checks.append(_last_value(mine, paired_losses(task, metric, y, last), gates, lag))
        if task != "regression" and gates.calibration is not None:
            checks.append(_calibrated(answers, gates, gates.calibration))
        if frame is not None:
            parts = find_slices(frame, gates.slices, features)
            margin = max(BROKEN, gates.slice_margin) if goes_on else gates.slice_margin
            slices = judge_slices(parts, mine, theirs, margin)
            checks.append(_slices(slices, margin))
        if theirs is not None:
            checks.append(
                _not_worse_than_champion(mine, theirs, gates, goes_on=goes_on, rematch=rematch)
            )
    return decide(checks, rows=len(y), slices=slices)


def _enough_rows(rows: int) -> GateCheck:
    passed = rows >= MIN_ROWS
    detail = f"{rows} labelled rows to judge by"
    if not passed:
        detail += f", {MIN_ROWS} are needed: wait for {MIN_ROWS - rows} more labels, then ask again"
    return GateCheck(
        name="rows", figure=rows, threshold=MIN_ROWS, verdict=_verdict(passed), detail=detail
    )


def _finite(candidate: NDArray[Any]) -> GateCheck:
    bad = int((~np.isfinite(candidate)).any(axis=1).sum()) if len(candidate) else 0
    return GateCheck(
        name="finite",
        figure=bad,
        threshold=0,
        verdict=_verdict(bad == 0),
        detail="every answer is a number"
        if bad == 0
        else f"{bad} answers are not a number: look for endless or huge values in those rows",
    )


_NO_MODEL = (
    "worse than no model at all: see that each target stands beside its own features, give it "
    "features that tell the target, or wait for more rows of today's kind"
)


def _better_than_constant(
    mine: NDArray[Any], trivial: NDArray[Any], gates: Gates, *, first: bool, worse_stands: bool
) -> GateCheck:
    """A first version must not be worse, by what was measured; a later one not clearly worse.

    A weak signal must not keep a pipeline from starting, nor a champion that is worse in place: a
    mixture goes from it step by step, and its first steps may not be enough yet.
    """
    change, low, high = _relative(
        batch_mean(mine - trivial), float(trivial.mean()), gates.confidence
    )
    better = change <= 0 if first else low <= 0
    passed = better or worse_stands
    words = "" if passed else f": {'' if first else 'clearly '}{_NO_MODEL}"
    if passed and not better:
        words = ": clearly worse than no model at all, but the champion is worse still"
    return GateCheck(
        name="better_than_constant",
        figure=_number(change),
        threshold=0.0,
        low=_number(low),
        high=_number(high),
        verdict=_verdict(passed),
        detail=f"loss {change:+.1%} against a constant answer{words}",
    )


def _last_value(mine: NDArray[Any], last: NDArray[Any], gates: Gates, lag: int) -> GateCheck:
    """Tell how far the candidate is from repeating the last truth known.

    It is held against the candidate only where pipeline.yaml says so: that the truth comes back row
    by row, in time to be repeated, is more than a declared delay can promise.
    """
    change, low, high = _relative(batch_mean(mine - last), float(last.mean()), gates.confidence)
    held = gates.last_value == "refuse"
    passed = low <= 0
    return GateCheck(
        name="last_value",
        figure=_number(change),
        threshold=0.0 if held else None,
        low=_number(low),
        high=_number(high),
        verdict=_verdict(passed) if held else "noted",
        detail=f"loss {change:+.1%} against repeating the truth of {_ago(lag)}"
        + ("" if passed else ": clearly worse")
        + ("" if passed or not held else "; gates.last_value: note lets it through"),
    )


def _ago(rows: int) -> str:
    return "1 row ago" if rows == 1 else f"{rows:,} rows ago"


def _calibrated(answers: Answers, gates: Gates, allowed: float) -> GateCheck:
    """A first version is held to ``allowed``, a later one to the champion on the same rows."""
    metric, y, champion = answers.metric, answers.y, answers.champion
    if champion is None:
        mine = _as_meant(metric, y, answers.candidate)
        figure, low, high = calibration_error(y, mine, gates.confidence)
        passed = low <= allowed
        detail = f"probabilities are {figure:.1%} off what came true, beyond chance"
        worse = f": clearly more than the {allowed:.1%} allowed by gates.calibration"
    else:
        allowed = gates.calibration_margin
        mine, theirs = (_as_meant(metric, y, output) for output in (answers.candidate, champion))
        figure, low, high = calibration_change(y, mine, theirs, 1 - ALPHA)
        passed = low <= allowed
        errors = [calibration_error(y, output, gates.confidence).error for output in (mine, theirs)]
        detail = (
            f"probabilities are {errors[0]:.1%} off what came true, the champion's {errors[1]:.1%}"
        )
        worse = f": clearly more, {allowed:.1%} is allowed by gates.calibration_margin"
    return GateCheck(
        name="calibration",
        figure=figure,
        threshold=allowed,
        low=low,
        high=high,
        verdict=_verdict(passed),
        detail=detail + ("" if passed else worse),
    )


def _as_meant(metric: MetricName, y: NDArray[Any], output: NDArray[Any]) -> NDArray[Any]:
    """Where classes count alike, a model may have learned from them alike: its probabilities are
    read in that way if they come true better so."""
    if metric != "balanced_accuracy":
        return output
    readings = (output, as_frequent(y, output))
    return min(readings, key=lambda p: calibration_error(y, p, 0.5).error)


def _slices(slices: tuple[SliceResult, ...], margin: float) -> GateCheck:
    refused = [part for part in slices if part.refused]
    compared = [part for part in slices if part.change is not None]
    worst = refused[0] if refused else max(compared, key=lambda p: p.change or 0.0, default=None)
    if worst is None:
        detail = "no champion to compare slices with" if slices else "no slice has enough rows"
        return GateCheck(name="slices", figure=None, verdict="noted", detail=detail)
    names = ", ".join(part.label for part in refused)
    detail = (
        f"clearly worse than the champion where {names} "
        f"(loss {worst.change:+.1%}, at least {worst.low:+.1%} at {1 - ALPHA:.0%} confidence over "
        f"all slices, {margin:+.1%} is allowed)"
        if refused
        else f"no slice is clearly worse; the worst is {worst.label}, loss {worst.change:+.1%} "
        f"on {worst.rows} rows"
    )
    return GateCheck(
        name="slices",
        figure=worst.change,
        threshold=margin,
        low=worst.low,
        verdict=_verdict(not refused),
        detail=detail,
    )


def _not_worse_than_champion(
    mine: NDArray[Any], theirs: NDArray[Any], gates: Gates, *, goes_on: bool, rematch: bool
) -> GateCheck:
    level = 1 - ALPHA if goes_on else gates.confidence
    margin = max(gates.margin, BROKEN) if goes_on else gates.margin
    change, low, high = _relative(batch_mean(mine - theirs), float(theirs.mean()), level)
    passed = low <= margin and change <= HOPELESS if goes_on else high <= margin
    rival = "the champion's trial" if rematch else "the champion"
    return GateCheck(
        name="not_worse_than_champion",
        figure=_number(change),
        threshold=margin,
        low=_number(low),
        high=_number(high),
        verdict=_verdict(passed),
        detail=f"loss {change:+.1%} against {rival} on the same {_rows(len(mine))}"
        + _in_words(change, low, high, margin, level, goes_on=goes_on)
        + ("; both as they were before they learned these rows" if rematch else ""),
    )


def _in_words(
    change: float, low: float, high: float, margin: float, level: float, *, goes_on: bool
) -> str:
    """What the figure was held against, and, where it is too high, what helps."""
    sure, allowed = f"{level:.0%} confidence", f"{margin:+.1%} is allowed"
    if goes_on:
        words = f" (at least {low:+.1%} at {sure}, {allowed})"
        if low <= margin and change <= HOPELESS:
            return f"{words}: whether it is better, its shares show"
        return f"{words}: shown to be worse, the champion is the better one on these rows"
    words = f" (at most {high:+.1%} at {sure}, {allowed})"
    if high <= margin:
        return words
    if low > margin:
        return f"{words}: shown to be worse, the champion is the better one on these rows"
    return (
        f"{words}: not shown to be no worse; more labels may show it, or gates.margin allow for it"
    )


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _relative(difference: BatchMean, base: float, level: float) -> tuple[float, float, float]:
    """The difference and its one-sided bounds as shares of a loss that it is held against."""
    low, high = difference.interval(2 * level - 1)
    scale = base if base > 0 else 1.0
    return difference.mean / scale, low / scale, high / scale


def _verdict(passed: bool) -> Any:
    return "passed" if passed else "refused"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
