"""How far back a training should reach, by forward validation on the newest rows.

On some streams old rows are the best teacher there is, on others they are poison, and no test of
the inputs tells which. So a quick model is fitted on spans of falling length, each ending right
before the newest rows, and is scored on those. The longest span that is not clearly worse than the
best one wins: more rows are the safer bet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.evaluation.paired import batch_mean

SHORTEST = 500
"""No span is shorter than this many rows."""
_FOLDS = 2
_CONFIDENCE = 0.8

Losses = Callable[[int, int, int], NDArray[Any]]
"""``losses(low, high, end)``: the loss, on each of the rows high to end - 1, of a model trained on
rows low to high - 1."""


@dataclass(frozen=True)
class SpanChoice:
    """How many of the newest rows to train on, and the mean validation loss of each span tried."""

    rows: int
    tried: dict[int, float]
    fits: int


def choose_span(rows: int, losses: Losses, *, validation_rows: int) -> SpanChoice:
    """Choose among all rows, half of them, a quarter of them, and so on.

    Args:
        rows: rows there are to train on, in time order.
        losses: fits and scores a quick model; never asked for rows at or beyond ``rows``.
        validation_rows: rows of one validation fold; two folds, one behind the other, where there
            is room for them.
    """
    spans = _halves(rows)
    if len(spans) == 1:
        return SpanChoice(rows, {}, 0)
    size = max(1, min(validation_rows, rows // 4))
    starts = [rows - fold * size for fold in range(_FOLDS, 0, -1)]
    scored = {
        span: np.concatenate([losses(_low(span, rows, at), at, at + size) for at in starts])
        for span in spans
    }
    means = {span: float(found.mean()) for span, found in scored.items()}
    best = min(spans, key=lambda span: means[span])
    chosen = next(span for span in spans if span == best or _as_good(scored[span], scored[best]))
    return SpanChoice(chosen, means, len(spans) * len(starts))


def _halves(rows: int) -> list[int]:
    spans = [rows]
    while spans[-1] // 2 >= SHORTEST:
        spans.append(spans[-1] // 2)
    return spans


def _low(span: int, rows: int, high: int) -> int:
    return 0 if span == rows else max(0, high - span)


def _as_good(mine: NDArray[Any], best: NDArray[Any]) -> bool:
    """Not worse than the best at the level asked for."""
    return batch_mean(mine - best).interval(2 * _CONFIDENCE - 1)[0] <= 0
