"""How far small heads on a base are to be trusted, learned from what they did on rows to come.

A head is fitted on the newest rows and then tried on the next window, which it has not seen: the
prequential test of Dawid (JRSS A 147, 1984). From a few such trials follow the shares at which the
heads' answers are mixed with the base's, by least squares under the constraints of a convex mixture
(stacked regressions; Breiman, Machine Learning 24, 1996). The shares start from none: a head has to
earn its part, and where no head helps the base stands alone. Squares are weighed by what the rows
count for in the metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from perennial.evaluation.metrics import row_weights
from perennial.evaluation.paired import MAX_BATCHES
from perennial.spec import HeadDepth, HeadName, MetricName, Task

HEADS: tuple[HeadName, ...] = ("recalibrate", "renew", "correct")
"""The order in which arrays over heads are written."""
REMEMBERED = 8
"""Trials older than so many windows are forgotten."""
_DECAY = 0.8
_PRIOR_WINDOWS = 0.5
"""The shares start from none, as if so many windows had shown that no head moves anything."""


LEAST_SHARE = 0.05
"""A mixture in which the heads have less than this together is not worth it: the base stands
alone."""


class Mixture(BaseModel):
    """Shares of the heads' answers; the rest is the base's."""

    model_config = ConfigDict(frozen=True)

    recalibrate: float = 0.0
    renew: float = 0.0
    correct: float = 0.0

    @property
    def shares(self) -> tuple[float, ...]:
        """In the order of `HEADS`."""
        return self.recalibrate, self.renew, self.correct

    @property
    def counts(self) -> bool:
        """Whether the heads have a part that is worth it."""
        return sum(self.shares) >= LEAST_SHARE

    @property
    def depth(self) -> HeadDepth | None:
        """The deepest head that has a part; None: the base stands alone."""
        if self.correct > 0 or self.renew > 0:
            return "correct"
        return "recalibrate" if self.recalibrate > 0 else None


class HeadTrial(BaseModel):
    """What heads fitted before a window did on it, in sufficient statistics.

    Answers are compared on their own scale: values, or one probability a class.
    """

    model_config = ConfigDict(frozen=True)

    window: str
    rows: int
    gram: tuple[tuple[float, ...], ...]
    """Mean products of the heads' moves (answer less the base's), (heads, heads)."""
    cross: tuple[float, ...]
    """Mean products of the heads' moves and the base's errors (truth less answer), (heads,)."""
    base: tuple[float, ...]
    """Mean losses of the base in equal batches of the window's rows, in time order: squared errors,
    absolute ones under mae."""
    mixed: tuple[float, ...]
    """The same of the mixture that earlier trials asked for."""


def try_heads(
    window: str,
    task: Task,
    y: NDArray[Any],
    base: NDArray[Any],
    heads: Sequence[NDArray[Any]],
    mixture: Mixture,
    metric: MetricName | None = None,
) -> HeadTrial:
    """Sum up one window.

    Args:
        y: true values or class indices (rows,), in time order.
        base: the base's output (rows, width).
        heads: output of each head that was fitted before, in the order of `HEADS`.
        mixture: what was asked for before.
        metric: under mae the squares stand for absolute errors, under balanced accuracy each class
            counts alike; else, and without one, each row.
    """
    truth = _on_the_scale(task, y, base.shape[1])
    errors = truth - base.astype(np.float64)
    moves = np.stack([head.astype(np.float64) - base for head in heads])
    left = errors - np.tensordot(np.array(mixture.shares), moves, axes=1)
    weights = _absolute_weights(left) if metric == "mae" else row_weights(metric, y)
    weighted = moves * weights[:, None]
    rows = len(y)
    return HeadTrial(
        window=window,
        rows=rows,
        gram=tuple(tuple(r) for r in (np.einsum("hrw,irw->hi", weighted, moves) / rows).tolist()),
        cross=tuple((np.einsum("hrw,rw->h", weighted, errors) / rows).tolist()),
        base=_batches(_losses(metric, errors, weights)),
        mixed=_batches(_losses(metric, left, weights)),
    )


def _losses(
    metric: MetricName | None, errors: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    losses: NDArray[np.float64] = (
        np.abs(errors[:, 0]) if metric == "mae" else weights * np.square(errors).sum(axis=1)
    )
    return losses


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


def mix(trials: Sequence[HeadTrial]) -> Mixture:
    """Choose the shares, from trials on one base, the newest last."""
    from scipy.optimize import nnls

    if not trials:
        return Mixture()
    gram, cross, _ = _weighted(trials)
    size = float(np.trace(gram)) / len(gram)
    if size <= 0:
        return Mixture()
    # As if some windows more had been seen with moves of the usual size, and nothing to move.
    seen = min(len(trials), REMEMBERED)
    shrunk = gram + (_PRIOR_WINDOWS / seen + 1e-9) * size * np.eye(len(gram))
    factor = np.linalg.cholesky(shrunk)
    shares, _ = nnls(factor.T, np.linalg.solve(factor, cross))
    shares = shares / max(1.0, shares.sum())
    return Mixture(**{name: float(share) for name, share in zip(HEADS, shares, strict=True)})


def expected_gain(trials: Sequence[HeadTrial], mixture: Mixture) -> float:
    """Say what share of the base's loss a mixture would have taken away in these trials."""
    gram, cross, base = _weighted(trials)
    shares = np.array(mixture.shares)
    return float(2 * shares @ cross - shares @ gram @ shares) / base if base > 0 else 0.0


def _weighted(
    trials: Sequence[HeadTrial],
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Sum the newest trials up, older ones with less weight: gram, cross, and the base's loss."""
    recent = trials[-REMEMBERED:]
    weights = _DECAY ** np.arange(len(recent))[::-1]
    gram = np.tensordot(weights, np.array([trial.gram for trial in recent]), axes=1)
    cross = weights @ np.array([trial.cross for trial in recent])
    return gram, cross, float(weights @ [np.mean(trial.base) for trial in recent])


class HeadGain(BaseModel):
    """How much of the base's loss the heads took away, as tried on rows that they had not seen."""

    model_config = ConfigDict(frozen=True)

    windows: int
    share: float
    """Of the base's mean loss."""
    t: float
    """Student's t of the difference, over batches of rows."""


def gain(trials: Sequence[HeadTrial]) -> HeadGain:
    """Take trials together, the newest last."""
    if not trials:
        return HeadGain(windows=0, share=0.0, t=0.0)
    base = _pooled([trial.base for trial in trials])
    mixed = _pooled([trial.mixed for trial in trials])
    saved = base - mixed
    spread = float(saved.std(ddof=1)) / np.sqrt(len(saved)) if len(saved) > 1 else 0.0
    middle, whole = float(saved.mean()), float(base.mean())
    return HeadGain(
        windows=len(trials),
        share=middle / whole if whole > 0 else 0.0,
        t=middle / spread if spread > 0 else 0.0,
    )


def _pooled(batches: Sequence[tuple[float, ...]]) -> NDArray[np.float64]:
    """Join batches into a few long ones, whose means are nearly independent."""
    joined = np.concatenate([np.array(batch) for batch in batches])
    return np.array([part.mean() for part in np.array_split(joined, min(MAX_BATCHES, len(joined)))])


def _batches(losses: NDArray[np.float64]) -> tuple[float, ...]:
    parts = np.array_split(losses, min(MAX_BATCHES, len(losses)))
    return tuple(float(part.mean()) for part in parts)


def _on_the_scale(task: Task, y: NDArray[Any], width: int) -> NDArray[np.float64]:
    if task == "multiclass":
        return np.eye(width)[y.astype(np.intp)]
    return y.astype(np.float64)[:, None]
