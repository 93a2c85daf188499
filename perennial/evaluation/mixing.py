"""How much each member of a mixture counts, learned from what its models have answered live.

A member is a way to get a model from the labels known so far: `first` keeps the model that the
mixture began with, `recent` and `all` refit it, three small ones learn from the newest windows.
What a member's models answered to a window, before its labels were known, says how much it is
worth, and it keeps this record when its model is refitted: so it is judged at the distance at which
it answers, however late labels come (the prequential test of Dawid, JRSS A 147, 1984).

The shares are a convex mixture by least squares over products of the members' errors (stacked
regressions; Breiman, Machine Learning 24, 1996), older windows with less weight. They are shrunk to
equal shares: an average of forecasts is hard to beat (Clemen, International Journal of Forecasting
5, 1989), and late labels say little of the windows to come. A member without a model of its own yet
counts for `first`, so a new one has a share before it has shown anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from perennial.evaluation.metrics import row_weights
from perennial.spec import BaseName, HeadName, MemberName, MetricName, Task

BASES: tuple[BaseName, ...] = get_args(BaseName)
HEADS: tuple[HeadName, ...] = get_args(HeadName)
MEMBERS: tuple[MemberName, ...] = (*BASES, *HEADS)
"""The order in which arrays over members are written."""
DECAY = 0.9
"""What a window counts for, against the next one."""
PRIOR_WINDOWS = 4.0
"""Equal shares count as if so many windows, once more for each window by which labels are late, had
shown that no other shares are better."""
LEAST_SHARE = 0.03
"""A member with less takes no part: it costs time in every answer, and moves none."""
BOUND_WINDOWS = 20
"""Over which `Policy.harm` is held."""
_STEPS = 10
_ERRORS = 2.0
"""Standard errors that the bound of harm allows for."""


class Mixture(BaseModel):
    """Shares of the members in the answer; their sum is 1."""

    model_config = ConfigDict(frozen=True)

    first: float = 0.0
    recent: float = 0.0
    all: float = 0.0
    recalibrate: float = 0.0
    renew: float = 0.0
    correct: float = 0.0

    @classmethod
    def of(cls, shares: NDArray[Any]) -> Mixture:
        """Take shares in the order of `MEMBERS`."""
        return cls(**dict(zip(MEMBERS, map(float, shares), strict=True)))

    @classmethod
    def alone(cls) -> Mixture:
        """Only the model that it begins with."""
        return cls(first=1.0)

    @classmethod
    def equal(cls) -> Mixture:
        """What counts before there is any evidence."""
        return cls.of(np.full(len(MEMBERS), 1 / len(MEMBERS)))

    @property
    def shares(self) -> NDArray[np.float64]:
        """In the order of `MEMBERS`."""
        return np.array([getattr(self, name) for name in MEMBERS])

    @property
    def parts(self) -> dict[MemberName, float]:
        """Of those that take part."""
        return {name: getattr(self, name) for name in MEMBERS if getattr(self, name) > 0}

    def among(self, known: Sequence[MemberName]) -> Mixture:
        """The same shares, where those of members without a model go to `first`."""
        shares = {name: share for name, share in self.parts.items() if name in known}
        lost = sum(self.parts.values()) - sum(shares.values())
        return Mixture(**{**shares, "first": shares.get("first", 0.0) + lost})


class MemberErrors(BaseModel):
    """What the members of the version that answered a window got wrong, in sufficient statistics.

    Answers are compared on their own scale: values, or one probability a class.
    """

    model_config = ConfigDict(frozen=True)

    window: str
    rows: int
    late: int
    """Windows after its own end at which its labels were there."""
    first: str
    """The version whose trained model is `first`: another one begins another record."""
    members: tuple[MemberName, ...]
    """That had a model of their own."""
    products: tuple[tuple[float, ...], ...]
    """Mean products of the members' errors, (members, members)."""

    @cached_property
    def whole(self) -> NDArray[np.float64]:
        """The products over all `MEMBERS`; one without a model has answered as `first`."""
        at = [self.members.index(m) if m in self.members else 0 for m in MEMBERS]
        return np.array(self.products)[np.ix_(at, at)]


def measure_errors(
    task: Task,
    y: NDArray[Any],
    answers: Mapping[MemberName, NDArray[Any]],
    served: NDArray[Any],
    metric: MetricName | None = None,
) -> tuple[tuple[float, ...], ...]:
    """Give the mean products of the members' errors on labelled rows, (members, members).

    Args:
        y: true values or class indices (rows,).
        answers: of each member (rows, width).
        served: what the mixture of them answered (rows, width).
        metric: under mae squares stand for absolute errors, under balanced accuracy each class
            counts alike; else, and without one, each row.
    """
    truth = _on_the_scale(task, y, served.shape[1])
    errors = np.stack([answer.astype(np.float64) - truth for answer in answers.values()])
    left = served.astype(np.float64) - truth
    weights = _absolute_weights(left) if metric == "mae" else row_weights(metric, y)
    products = np.einsum("mrk,nrk,r->mn", errors, errors, weights) / len(y)
    return tuple(tuple(row) for row in products.tolist())


def _absolute_weights(left: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weigh squares so that they stand for absolute errors: (rows,).

    ``e**2 / (2 |left|)`` has the slope of ``|e|`` where the rows stand now and lies above it
    elsewhere, up to a constant (iteratively reweighted least squares; Schlossmacher, JASA 68,
    1973), so a wild row has no more say than its sign. Below the median error it is a square, as
    in Huber's loss: a row that is met by chance would else outweigh all others.
    """
    apart = np.abs(left[:, 0])
    usual = float(np.median(apart)) or float(apart.mean()) or 1.0
    weights: NDArray[np.float64] = 0.5 / np.maximum(apart, usual)
    return weights


def _on_the_scale(task: Task, y: NDArray[Any], width: int) -> NDArray[np.float64]:
    if task == "multiclass":
        return np.eye(width)[y.astype(np.intp)]
    return y.astype(np.float64)[:, None]


def weigh(record: Sequence[MemberErrors], harm: float | None = None) -> Mixture:
    """Choose the shares.

    Args:
        record: of windows whose labels have come, the oldest first, all with the same `first`.
        harm: share by which the loss may lie above that of `first` over `BOUND_WINDOWS` windows,
            see `_bounded`; None: no bound is kept.
    """
    prior = Mixture.equal() if harm is None else Mixture.alone()
    if not record:
        return prior
    products = np.stack([errors.whole for errors in record])
    late = record[-1].late
    shares = _solve(products, late, prior.shares)
    if harm is not None:
        shares = _bounded(products, late, shares, harm)
    shares = np.where(shares < LEAST_SHARE, 0.0, shares)
    return Mixture.of(shares / shares.sum())


def expected_gain(record: Sequence[MemberErrors], mixture: Mixture, standing: Mixture) -> float:
    """Say what share of the loss of the standing shares others would have taken away."""
    if not record:
        return 0.0
    mean = _mean(np.stack([errors.whole for errors in record]))
    before, after = (float(m.shares @ mean @ m.shares) for m in (standing, mixture))
    return 1 - after / before if before > 0 else 0.0


def _mean(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take windows together, older ones with less weight."""
    weights = DECAY ** np.arange(len(products))[::-1]
    mean: NDArray[np.float64] = np.tensordot(weights, products, 1) / weights.sum()
    return mean


def _solve(
    products: NDArray[np.float64], late: int, prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Minimize the loss of the shares, a distance to the prior ones added.

    The distance is in the unit of the moves that the members make from there, so that it depends on
    no scale.
    """
    from scipy.optimize import nnls

    count = len(prior)
    if not len(products):
        return prior
    mean, seen = _mean(products), float((DECAY ** np.arange(len(products))).sum())
    moves = np.diag(mean) - 2 * mean @ prior + prior @ mean @ prior
    size = float(moves.mean())
    if size <= 1e-12 * np.trace(mean):
        return prior
    pull = PRIOR_WINDOWS * (1 + late) / seen * size
    shrunk = mean + pull * np.eye(count)
    heavy = 1e3 * np.trace(shrunk) / count  # holds the sum at 1
    factor = np.linalg.cholesky(shrunk + heavy)
    found, _ = nnls(factor.T, np.linalg.solve(factor, pull * prior + heavy))
    shares: NDArray[np.float64] = found / found.sum()
    return shares


def _bounded(
    products: NDArray[np.float64], late: int, shares: NDArray[np.float64], harm: float
) -> NDArray[np.float64]:
    """Let the shares in only as far as their past allows.

    What would have been served, had all windows been answered with such a part of the shares of
    their time, may have lost at most so much more than `first` over the newest windows, two
    standard errors allowed for. It holds for windows that resemble these; a change that comes
    afterwards is seen when its labels come.
    """
    known = len(products)
    newest = range(max(0, known - BOUND_WINDOWS), known)
    alone = Mixture.alone().shares
    past = np.stack([_solve(products[: max(0, w - late)], late, alone) for w in newest])
    recent = products[newest.start :]
    mine = np.einsum("wm,wmn,wn->w", past, recent, past)
    both = np.einsum("wm,wm->w", past, recent[:, :, 0])
    first = recent[:, 0, 0]
    for part in np.linspace(1, 0, _STEPS + 1):
        loss = part**2 * mine + 2 * part * (1 - part) * both + (1 - part) ** 2 * first
        excess = loss - (1 + harm) * first
        spread = excess.std(ddof=1) / np.sqrt(len(excess)) if len(excess) > 1 else 0.0
        if excess.mean() + _ERRORS * spread <= 0:
            break
    bounded: NDArray[np.float64] = part * shares + (1 - part) * alone
    return bounded
