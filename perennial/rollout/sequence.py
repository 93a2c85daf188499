"""Evidence that may be looked at after every row: is one model's loss worse than another's?

For a candidate value r of the relative difference in loss, ``x = challenger - (1 + r) * champion``
has a mean above 0 exactly where the challenger is worse by more than r. A gambler bets on every
next ``x`` with what the earlier rows taught. Where the null hypothesis holds no bet gains on
average, so his capital is a nonnegative supermartingale that starts at 1, and by Ville's inequality
it ever reaches ``1 / alpha`` with probability at most alpha: one may look after every row and stop
at any time. The values of r against which nobody grew rich form a confidence sequence.

Two laws of the losses:

- ``bound`` given: the losses lie in [0, bound]. The capital is the product of ``1 - b x`` (Waudby-
  Smith & Ramdas, "Estimating means of bounded random variables by betting", Journal of the Royal
  Statistical Society B 86, 2024), with their approximately growth-optimal bets (aGRAPA). The
  guarantee holds for every number of rows and every such law.
- no bound (squared and absolute errors): Catoni's influence function takes the edge off wild rows,
  ``exp(phi(b x) - b^2 v / 2)`` (Wang & Ramdas, "Catoni-style confidence sequences for heavy-tailed
  mean estimation", Stochastic Processes and their Applications 163, 2023). Their guarantee wants a
  bound v on the second moment of x; here it is estimated from the earlier rows, so the guarantee is
  an asymptotic one: it needs a finite second moment, and losses whose extremes the first
  `WARM_UP` rows give an idea of. ``make bench-rollout`` measures what it comes to.

Both need rows whose mean, given the rows before, stays on its side of the null. Rows that resemble
their neighbours in difficulty weigh on both models alike and cancel in x.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Null = Literal["worse", "not_worse"]
"""What is to be refuted. worse: the mean of x is at least 0. not_worse: it is at most 0."""

WARM_UP = 50
"""Rows that are only learned from."""
_BOLDNESS = 0.75
"""Largest share of the capital that a row of a bounded law can take."""
_HEAVY_BOLDNESS = 0.4
"""Largest bet on a law without a bound, in units of x's root mean square."""


def excess(
    challenger: NDArray[Any], champion: NDArray[Any], relative: float | NDArray[Any]
) -> NDArray[Any]:
    """Give ``x``: what the challenger loses beyond ``1 + relative`` times the champion's loss."""
    difference: NDArray[Any] = challenger - (1 + relative) * champion
    return difference


def log_capital(
    x: NDArray[Any], null: Null, *, bound: float | None, relative: float | NDArray[Any] = 0.0
) -> NDArray[Any]:
    """Log of the gambler's capital after every row; 1 / alpha of it refutes the null at alpha.

    Args:
        x: as `excess`, the rows along the last axis, in the order in which they became known.
        null: what is bet against.
        bound: the largest loss that there can be; None: there is none.
        relative: with which x was made.
    """
    signed = -x if null == "worse" else x
    bets = _bets(signed)
    if bound is not None:
        # The most that a row can speak against the bet: the other side's largest loss.
        most = bound if null == "worse" else bound * (1 + relative)
        return np.cumsum(np.log1p(np.minimum(bets, _BOLDNESS / most) * signed), axis=-1)
    scale = _mean_square(signed)
    bets = np.minimum(bets, _HEAVY_BOLDNESS / np.sqrt(scale))
    gains = _influence(bets * signed) - bets**2 * scale / 2
    return np.cumsum(np.where(bets > 0, gains, 0.0), axis=-1)


def _bets(x: NDArray[Any]) -> NDArray[Any]:
    """Growth-optimal bets that x is above 0, each from the rows before it: mean / mean square."""
    total = _before(x)
    squares = _before(x**2)
    bets = np.divide(total, squares, out=np.zeros_like(total), where=squares > 0)
    bets[..., :WARM_UP] = 0.0
    positive: NDArray[Any] = np.maximum(bets, 0.0)
    return positive


def _mean_square(x: NDArray[Any]) -> NDArray[Any]:
    """Mean square of the rows before each row; 1 where there is none."""
    mean = _before(x**2) / np.maximum(np.arange(x.shape[-1]), 1)
    return np.where(mean > 0, mean, 1.0)


def _before(x: NDArray[Any]) -> NDArray[Any]:
    """Sum of all rows before each row."""
    sums = np.zeros(x.shape)
    np.cumsum(x[..., :-1], axis=-1, out=sums[..., 1:])
    return sums


def _influence(x: NDArray[Any]) -> NDArray[Any]:
    """Catoni's (Annales de l'Institut Henri Poincare 48, 2012), the widest one."""
    size = np.abs(x)
    widest: NDArray[Any] = np.sign(x) * np.log1p(size + size**2 / 2)
    return widest
