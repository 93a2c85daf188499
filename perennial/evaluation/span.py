"""How far back a training should reach, by forward validation on the newest rows.

On some streams old rows are the best teacher there is, on others they are poison, and no test of
the inputs tells which. So a quick model is fitted on a few spans, each ending right before the
newest rows, and is scored on those. The choice is deliberately coarse: the best of many spans on
one stretch of a stream is mostly luck, and the next stretch pays for it. The default is to slide
over as many rows as the first version had; all rows are taken where they do better, and shorter
spans only where they are clearly better, as they are after an abrupt change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from perennial.evaluation.paired import batch_mean

SHORTEST = 100
"""No span is shorter than this many rows."""
VALIDATION_WINDOWS = 2
"""On how many windows of rows spans should be compared."""
_HALVINGS = 3
_CONFIDENCE_LONGER = 0.6
_CONFIDENCE_SHORTER = 0.95

Losses = Callable[[int, int, int], NDArray[Any]]
"""``losses(low, high, end)``: the loss, on each of the rows high to end - 1, of a model trained on
rows low to high - 1."""


@dataclass(frozen=True)
class SpanChoice:
    """How many of the newest rows to train on, and the mean validation loss of each span tried."""

    rows: int
    tried: dict[int, float]


def choose_span(rows: int, losses: Losses, *, usual: int, validation_rows: int) -> SpanChoice:
    """Choose between all rows, as many as usual, and halves of that.

    Args:
        rows: rows there are to train on, in time order.
        losses: fits and scores a quick model; never asked for rows at or beyond ``rows``. It is
            called at most five times.
        usual: the span where nothing speaks for another: as many rows as the first version had.
        validation_rows: how many of the newest rows the spans are compared on; at most a third.
    """
    if rows <= usual or rows < 2 * SHORTEST:
        return SpanChoice(rows, {})
    high = rows - min(validation_rows, rows // 3)
    spans = [rows, usual, *_halves(usual)]
    found = {span: losses(_low(span, rows, high), high, rows) for span in spans}
    chosen = usual
    if _better(found[rows], found[usual], _CONFIDENCE_LONGER):
        chosen = rows
    for span in spans[2:]:
        if _better(found[span], found[chosen], _CONFIDENCE_SHORTER):
            chosen = span
    return SpanChoice(chosen, {span: float(loss.mean()) for span, loss in found.items()})


def _halves(usual: int) -> list[int]:
    halves = [usual // 2**power for power in range(1, _HALVINGS + 1)]
    return [span for span in halves if span >= SHORTEST]


def _low(span: int, rows: int, high: int) -> int:
    return 0 if span == rows else max(0, high - span)


def _better(mine: NDArray[Any], other: NDArray[Any], confidence: float) -> bool:
    """Whether the mean of ``mine`` is lower, at this one-sided confidence."""
    return batch_mean(mine - other).interval(2 * confidence - 1)[1] < 0
