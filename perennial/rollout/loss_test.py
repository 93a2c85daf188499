"""Is the challenger worse than the champion by more than the margin? Overall, and on each slice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.rollout.check import Check, Status
from perennial.rollout.evidence import Losses
from perennial.rollout.sequence import WARM_UP, Null, excess, log_capital
from perennial.spec import Rollout

_MAX_SLICES = 50
"""Values of all columns together that are followed, the most frequent ones."""


def refuted_after(losses: Losses, null: Null, margin: float, alpha: float) -> int | None:
    """After how many rows the first look would have refuted that the challenger is "worse" by the
    margin or more, or "not_worse" than that, at level ``alpha``; None: none of them yet."""
    if len(losses) == 0:
        return None
    x = excess(losses.challenger, losses.champion, margin)
    rich = log_capital(x, null, bound=losses.bound, relative=margin) >= math.log(1 / alpha)
    return int(rich.argmax()) + 1 if rich.any() else None


def relative_difference(losses: Losses) -> float | None:
    """The challenger's mean loss against the champion's, as a share of it; None: unknown."""
    base = float(losses.champion.mean()) if len(losses) else 0.0
    return float(losses.challenger.mean()) / base - 1 if base > 0 else None


def loss_check(losses: Losses, rollout: Rollout) -> Check:
    """Test the loss over all labelled rows, both ways, each at ``rollout.alpha``."""
    within, worse = (
        refuted_after(losses, null, rollout.margin, rollout.alpha)
        for null in ("worse", "not_worse")
    )
    # Where the world turned and both were shown, the challenger has become worse, or was before.
    status: Status = "breach" if worse else "green" if within else "waiting"
    change = relative_difference(losses)
    words = {
        "green": f"shown to be within {rollout.margin:+.1%} by the first {within or 0:,}",
        "breach": f"shown to be worse than {rollout.margin:+.1%} by the first {worse or 0:,}",
        "waiting": f"not decided yet against {rollout.margin:+.1%}",
    }
    seen = "no labels" if change is None else f"loss {change:+.1%} on {len(losses):,} labelled rows"
    return Check(
        name="loss",
        status=status,
        figure=change,
        threshold=rollout.margin,
        detail=f"{seen}, {words[status]}",
    )


def slice_checks(losses: Losses, rollout: Rollout) -> tuple[Check, ...]:
    """Test each slice at its part of alpha (Bonferroni).

    One that is shown to be worse is a breach; one whose mean lies beyond the margin keeps the
    challenger from promotion for as long as it does.
    """
    largest = sorted(losses.slices.items(), key=lambda item: -int(item[1].sum()))[:_MAX_SLICES]
    return tuple(
        _slice_check(name, losses.within(rows), rollout, len(largest)) for name, rows in largest
    )


def _slice_check(name: str, losses: Losses, rollout: Rollout, slices: int) -> Check:
    worse = refuted_after(losses, "not_worse", rollout.margin, rollout.alpha / slices)
    change = relative_difference(losses)
    if worse:
        status: Status = "breach"
    elif len(losses) >= WARM_UP and change is not None and change > rollout.margin:
        status = "waiting"
    else:
        status = "green"
    seen = "no labels" if change is None else f"loss {change:+.1%} on {len(losses):,} labelled rows"
    verdict = f", shown to be worse by the first {worse:,}" if worse else ""
    return Check(
        name=f"slice {name}",
        status=status,
        figure=change,
        threshold=rollout.margin,
        detail=f"{name}: {seen}{verdict} ({rollout.margin:+.1%} is allowed)",
    )


@dataclass(frozen=True)
class Trail:
    """The confidence sequence of the relative difference in loss, at some of the rows."""

    rows: NDArray[Any]
    """How many labelled rows each entry has seen, (entries,)."""
    low: NDArray[Any]
    """-inf: nothing is known on this side yet."""
    high: NDArray[Any]
    mean: NDArray[Any]
    """The difference so far."""


def trail(losses: Losses, rollout: Rollout, *, entries: int = 120) -> Trail:
    """Follow the confidence sequence (two-sided, at ``2 * alpha``) over the rows.

    A value is out once it was refuted at ``alpha`` from its side, and stays out. Values are tried
    on a grid around the margin that is finest near it; the margin is on the grid, so that the trail
    crosses it where the test decides.
    """
    n = len(losses)
    picked = np.unique(np.linspace(1, n, min(entries, n)).astype(int)) if n else np.zeros(0, int)
    low, high = np.full(len(picked), -np.inf), np.full(len(picked), np.inf)
    wealth = math.log(1 / rollout.alpha)

    def refuted(value: float, null: Null) -> NDArray[Any]:
        x = excess(losses.challenger, losses.champion, value)
        capital = log_capital(x, null, bound=losses.bound, relative=value)
        out: NDArray[Any] = np.maximum.accumulate(capital)[picked - 1] >= wealth
        return out

    for value in _grid(rollout.margin):
        high = np.where(refuted(value, "worse"), np.minimum(high, value), high)
        low = np.where(refuted(value, "not_worse"), np.maximum(low, value), low)
    sums = np.cumsum(losses.challenger)[picked - 1], np.cumsum(losses.champion)[picked - 1]
    mean = np.divide(*sums, out=np.full(len(picked), np.nan), where=sums[1] > 0) - 1
    return Trail(picked, low, high, mean)


def _grid(margin: float) -> NDArray[Any]:
    steps = np.geomspace(0.005, 0.95, 30)
    return np.concatenate([-steps[::-1], [0.0], steps]) + margin
