"""How far a window, and the newest windows together, are from what was predicted of them.

Several statistics make one comparison. Its p-value is that of the strongest, corrected for their
number. Of a category's shares it is also that of Pearson's chi-squared statistic, which sees what
all shares come to: the sum of their squared scores, each weighted with the share of the others,
against an F distribution, since the scores are in standard errors that allow for windows which
differ by more than chance (Rao & Scott, "On chi-squared tests for multiway contingency tables with
cell proportions estimated from survey data", Ann. Stat. 12, 1984). The two are combined by their
harmonic mean, as they depend on one another (Wilson, "The harmonic mean p-value for combining
dependent tests", PNAS 116, 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.drift.baseline import Prediction, Series, predict
from perennial.drift.statistics import shares_from

Floats = NDArray[Any]

_LEANS = 1.645
"""By so many standard errors each of several windows must lean the way they do together."""
_LEAST_COUNT = 1.0
"""A share of which fewer rows are expected has no part in Pearson's statistic."""
_LEAST_P = 1e-300


@dataclass(frozen=True)
class Part:
    """Which of the statistics make one comparison."""

    at: slice
    shares: bool
    """They are the shares of a category."""


@dataclass(frozen=True)
class Scores:
    """What became of the statistics of one comparison."""

    scores: Floats
    """(K,): standard errors off, in the newest window."""
    p_value: float
    together: float
    """p-value of the newest windows together; 1 where one of them does not lean that way."""


def score(
    known: Series,
    newest: Series,
    units: Floats,
    kinds: NDArray[Any],
    parts: Sequence[Part],
    *,
    persistence: int,
) -> list[Scores]:
    """Hold the newest windows against what is predicted of them, comparison by comparison.

    Args:
        known: K statistics of earlier windows.
        newest: of the newest ones, at most ``persistence``; fewer are not taken together.
        units: (K,) variance of each statistic for a single row.
        kinds: (K,) which of them are alike.
        parts: the comparisons.
        persistence: how many windows are taken together.
    """
    rows = newest.rows[-1]
    alone = predict(known, units, kinds, at=float(newest.at[-1]), rows=rows)
    off = _Deviation.of(alone, newest.values[-1], rows)
    together = [1.0] * len(parts)
    if len(newest.at) == persistence:
        mean, leaning = _together(known, newest, units, kinds, alone)
        together = [mean.p_value(part, leaning) for part in parts]
    return [
        Scores(off.scores[part.at], off.p_value(part), lasting)
        for part, lasting in zip(parts, together, strict=True)
    ]


@dataclass(frozen=True)
class _Deviation:
    """Statistics beside what was predicted of them; each (K,)."""

    prediction: Prediction
    scores: Floats
    p_values: Floats
    rows: Floats

    @classmethod
    def of(cls, prediction: Prediction, values: Floats, rows: Floats) -> _Deviation:
        return cls(prediction, *prediction.score(values), rows)

    def p_value(self, part: Part, leaning: Floats | None = None) -> float:
        """Of one comparison.

        Args:
            leaning: (P, K) scores of the windows whose mean this is; None: it is no mean.
        """
        found = [self._of_strongest(part.at, leaning)]
        if part.shares:
            found.append(self._of_all(part.at, leaning))
        return len(found) / sum(1 / max(p, _LEAST_P) for p in found)

    def _of_strongest(self, at: slice, leaning: Floats | None) -> float:
        p_values = self.p_values[at]
        if leaning is not None:
            along = leaning[:, at] * np.sign(self.scores[at])
            p_values = np.where((along > _LEANS).all(axis=0), p_values, 1.0)
        return min(1.0, float(p_values.min()) * len(p_values))

    def _of_all(self, at: slice, leaning: Floats | None) -> float:
        from scipy.stats import f

        scores, freedom = self.scores[at], self.prediction.freedom[at]
        shares = shares_from(self.prediction.mean[at])
        used = (freedom > 0) & (shares * self.rows[at] >= _LEAST_COUNT)
        if used.sum() < 2:
            return 1.0
        weights = np.where(used, 1 - shares, 0.0)
        total = float(weights @ scores**2)
        if leaning is not None:
            along = leaning[:, at] @ (weights * scores) / np.sqrt(max(total, _LEAST_P))
            if (along <= _LEANS).any():
                return 1.0
        width = float(weights.sum())
        return float(f.sf(total / width, width, freedom[used].min()))


def _together(
    known: Series, newest: Series, units: Floats, kinds: NDArray[Any], alone: Prediction
) -> tuple[_Deviation, Floats]:
    """The newest windows' mean, and how far each of them (P, K) is from what is predicted of it."""
    there = (newest.rows > 0).all(axis=0)
    rows = np.where(there, newest.rows.sum(axis=0), 0.0)
    at, windows = float(newest.at.mean()), len(newest.at)
    prediction = predict(known, units, kinds, at=at, rows=rows, windows=windows)
    mean = (newest.values * newest.rows).sum(axis=0) / np.maximum(rows, 1.0)
    leaning = np.where(there, (newest.values - prediction.mean) / alone.stderr, 0.0)
    return _Deviation.of(prediction, mean, rows), leaning
