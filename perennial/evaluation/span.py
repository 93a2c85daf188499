"""How far back a training should reach, by forward validation on the newest rows.

On some streams old rows are the best teacher there is, on others they are poison, and no test of
the inputs tells which. So a quick model is fitted on a few spans, each ending right before the
newest rows, and is scored on those, with a head on it as a new model will have: what a head makes
good again needs no shorter span. The choice is deliberately coarse: the best of many spans on one
stretch of a stream is mostly luck, and the next stretch pays for it. All rows are taken unless the
newest of them, as many as the first version had, are clearly the better teacher.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from perennial.evaluation.paired import batch_mean

SHORTEST = 100
"""With less than twice so many rows there is nothing to choose."""
_CONFIDENCE = 0.95

Losses = Callable[[int], NDArray[Any] | None]
"""``losses(span)``: the loss, on each of the newest rows, of a model trained on so many rows before
them; None where none can be fitted on these."""


@dataclass(frozen=True)
class SpanChoice:
    """How many of the newest rows to train on, and the mean validation loss of each span tried."""

    rows: int
    tried: dict[int, float]


def choose_span(rows: int, losses: Losses, *, usual: int) -> SpanChoice:
    """Choose between all rows and as many as usual.

    Args:
        rows: rows there are to train on, in time order.
        losses: fits and scores a quick model; called twice at most.
        usual: as many rows as the first version had.
    """
    if rows <= usual or rows < 2 * SHORTEST:
        return SpanChoice(rows, {})
    found = {span: losses(span) for span in (rows, usual)}
    tried = {span: loss for span, loss in found.items() if loss is not None}
    both = len(tried) == len(found)
    chosen = usual if both and _better(tried[usual], tried[rows]) else rows
    return SpanChoice(chosen, {span: float(loss.mean()) for span, loss in tried.items()})


def _better(mine: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether the mean of ``mine`` is clearly lower."""
    return batch_mean(mine - other).interval(2 * _CONFIDENCE - 1)[1] < 0
