"""Which rows to train on, by forward validation on the newest ones.

On some streams old rows are the best teacher there is, on others they are poison, and no test of
the inputs tells which. So a quick model is fitted on a few choices, each ending right before the
newest rows, and is scored on those, with a head on it as a new model will have: what a head makes
good again needs no shorter span. All rows are taken unless newer ones are clearly the better
teacher: as many as the first version had, or those since the champion's loss has risen. Only where
they are, what lies between is tried, too: twice as many, and all rows weighed by their age. What is
not likely better after a first few rounds is not grown on (successive halving; Jamieson &
Talwalkar, AISTATS 2016). The choice is deliberately coarse, and nothing shorter is sought: the best
of many spans on one stretch of a stream is mostly luck, and the next pays for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.evaluation.paired import batch_mean

SHORTEST = 200
"""Of fewer rows no model is made where there are more."""
GLANCE, LOOK = 7, 20
"""Rounds of a quick model: after the first, what is not likely better is given up."""
_CONFIDENCE = 0.95
_LIKELY = 0.8
"""Confidence that is wanted after a glance."""
_LONGEST = 0.9
"""A span of a larger share of all rows is no other choice."""
_BATCHES = 40
_ROWS_A_BATCH = 30
_RISEN = 3.0
"""Student's t from which on the best of all splits is no chance."""


@dataclass(frozen=True)
class TrainingSpan:
    """The newest rows to train on."""

    rows: int
    half_life: int | None = None
    """A row that is so many rows older than another counts half as much; None: all alike."""

    def __str__(self) -> str:
        aged = "" if self.half_life is None else f", weighed by age (half-life {self.half_life:,})"
        return f"{self.rows:,} rows{aged}"


Losses = Callable[[TrainingSpan, int], NDArray[Any] | None]
"""The loss, on each of the newest rows, of a model trained on a span before them, in so many rounds
(more than before, if it was asked for before); None where none can be fitted on it."""


@dataclass(frozen=True)
class SpanChoice:
    """What to train on, and the mean validation loss of each span tried, after the rounds that it
    was given."""

    span: TrainingSpan
    tried: dict[TrainingSpan, float]


def choose_span(
    rows: int,
    losses: Losses,
    *,
    usual: int,
    risen: int | None = None,
    in_time: Callable[[], bool] = lambda: True,
) -> SpanChoice:
    """Choose a span.

    Args:
        rows: rows there are to train on, in time order.
        losses: fits and scores a quick model.
        usual: as many rows as the first version had.
        risen: rows since the champion's loss has risen, see `rows_since_rise`; None: it has not.
        in_time: whether there is time to try one more.
    """
    seen: dict[tuple[TrainingSpan, int], NDArray[Any]] = {}

    def look(spans: Sequence[TrainingSpan], rounds: int) -> dict[TrainingSpan, NDArray[Any]]:
        """Try spans, as far as they can be fitted in time."""
        for span in spans:
            if (span, rounds) not in seen and in_time():
                loss = losses(span, rounds)
                if loss is not None:
                    seen[span, rounds] = loss
        return {span: seen[span, rounds] for span in spans if (span, rounds) in seen}

    def better(standing: TrainingSpan, rivals: Sequence[TrainingSpan]) -> TrainingSpan:
        """The best of the rivals that are clearly better than what stands, or that."""
        # Corrected for their number (Bonferroni).
        clearly = 1 - (1 - _CONFIDENCE) / max(1, len(rivals))
        for rounds, level in ((GLANCE, _LIKELY), (LOOK, clearly)):
            found = look([standing, *rivals], rounds)
            if standing not in found:
                return standing
            left = [rival for rival in rivals if rival in found]
            rivals = [rival for rival in left if _lower(found[rival], found[standing], level)]
            if not rivals:
                return standing
        return min(rivals, key=lambda rival: float(found[rival].mean()))

    everything, longest = TrainingSpan(rows), _LONGEST * rows
    lengths = {usual} if risen is None else {usual, risen}
    newer = [TrainingSpan(n) for n in sorted(lengths) if SHORTEST <= n <= longest]
    best = better(everything, newer) if newer else everything
    if best != everything:
        twice = [TrainingSpan(2 * best.rows)] if 2 * best.rows <= longest else []
        best = better(best, [*twice, TrainingSpan(rows, half_life=best.rows)])
    return SpanChoice(best, {span: float(loss.mean()) for (span, _), loss in seen.items()})


def rows_since_rise(losses: NDArray[Any]) -> int | None:
    """Say for how many rows losses (rows,), in time order, have been higher than before.

    The split that explains most of their variance, as in binary segmentation (Scott & Knott,
    Biometrics 30, 1974), over means of batches of rows. None: there is no clear rise.
    """
    count = min(_BATCHES, len(losses) // _ROWS_A_BATCH)
    if count < 5:
        return None
    parts = np.array_split(losses, count)
    means = np.array([part.mean() for part in parts])
    before = np.arange(2, count - 1)
    total = np.cumsum(means)
    low = total[before - 1] / before
    high = (total[-1] - total[before - 1]) / (count - before)
    left = np.square(means).sum() - before * low**2 - (count - before) * high**2
    spread = np.sqrt(np.maximum(left, 0) / (count - 2) * (1 / before + 1 / (count - before)))
    t = (high - low) / np.maximum(spread, np.finfo(np.float64).tiny)
    best = int(np.argmax(t))
    if t[best] < _RISEN:
        return None
    return sum(len(part) for part in parts[before[best] :])


def _lower(mine: NDArray[Any], other: NDArray[Any], level: float) -> bool:
    """Whether the mean of ``mine`` is lower, by a one-sided test."""
    return batch_mean(mine - other).interval(2 * level - 1)[1] < 0
