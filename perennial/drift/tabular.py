"""Feature by feature with alibi-detect's TabularDrift: Kolmogorov-Smirnov for numbers, chi-squared
for categories and for the rate of missing values.

The library goes blind on a column with one NaN, so each column is tested alone, on its present
values; what is missing is a feature of its own. A significant shift only counts with an effect: the
stability index must pass the policy's threshold and twice what the reference's own windows show
among one another, so that a season or a trend inside the reference is not news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.drift.columns import Column, column_of
from perennial.drift.comparison import Comparison, judge, require
from perennial.drift.detector import InputVerdict, TabularConfig
from perennial.drift.effect import history_effect, stability_index
from perennial.drift.summary import summarise
from perennial.drift.wording import describe
from perennial.packaging.signature import Feature

_USUAL_MARGIN = 2.0
"""By how much a shift must pass the largest one inside the reference: its few windows show less
than what an unchanged stream will."""
_MIN_VALUES = 5
"""With fewer present values on a side no test is made."""


class TabularDetector:
    """Univariate tests against reference rows, corrected for their number."""

    def __init__(
        self,
        config: TabularConfig,
        reference: pd.DataFrame,
        features: Sequence[Feature],
        *,
        window_rows: int,
    ) -> None:
        """Keep the reference's columns; arguments as `MomentsDetector`.

        Raises:
            SourceError: the reference lacks a feature.
        """
        require(reference, features, "reference")
        step = _step(len(reference), config.max_rows)
        thinned = reference.iloc[::step]
        block = max(1, window_rows // step)
        self._config = config
        self._rows = len(reference)
        self._features = tuple(features)
        self._sides = [
            _Side.of(column_of(f, thinned[f.name]), thinned, block, config) for f in features
        ]

    def check(
        self,
        window: pd.DataFrame,
        *,
        output: NDArray[Any] | None = None,  # noqa: ARG002
        history: Sequence[InputVerdict] = (),
    ) -> InputVerdict:
        """As `perennial.drift.detector.Detector`; the output is not looked at."""
        require(window, self._features, "window")
        thinned = window.iloc[:: _step(len(window), self._config.max_rows)]
        found = [c for side in self._sides for c in side.compare(thinned)]
        return judge(
            self._config,
            found,
            rows=len(window),
            reference_rows=self._rows,
            history=history,
        )


@dataclass(frozen=True)
class _Side:
    """The reference's side of one feature."""

    column: Column
    reference: pd.DataFrame
    values: NDArray[Any]
    counts: NDArray[Any]
    threshold: float
    threshold_missing: float

    @classmethod
    def of(
        cls, column: Column, reference: pd.DataFrame, block: int, config: TabularConfig
    ) -> _Side:
        values = column.read(reference[column.name])
        codes = column.codes(values)
        absent = np.isnan(values).astype(np.intp)
        usual = history_effect(codes, column.bins, block), history_effect(absent, 2, block)
        thresholds = [max(config.effect_size, _USUAL_MARGIN * effect) for effect in usual]
        counts = np.bincount(codes[codes >= 0], minlength=column.bins)
        return cls(column, reference[[column.name]], values, counts, *thresholds)

    def compare(self, window: pd.DataFrame) -> list[Comparison]:
        """Compare values, and the missing rate where anything is or was missing."""
        values = self.column.read(window[self.column.name])
        found = [self._values(window, values)]
        if np.isnan(values).any() or np.isnan(self.values).any():
            found.append(self._missing(np.isnan(values)))
        return found

    def _values(self, window: pd.DataFrame, values: NDArray[Any]) -> Comparison:
        name = self.column.name
        before, after = self.values[~np.isnan(self.values)], values[~np.isnan(values)]
        if min(len(before), len(after)) < _MIN_VALUES:
            return Comparison.blank(name, "values")
        statistic, p_value = _alibi(before, after, self.column.test)
        (sums_before,), (sums_after,) = (
            summarise(frame, [self.column], ()).columns for frame in (self.reference, window)
        )
        direction, detail = describe(self.column, sums_before, sums_after)
        return Comparison(
            feature=name,
            aspect="values",
            test=self.column.test,
            statistic=statistic,
            p_value=p_value,
            effect=stability_index(self.counts, sums_after.counts[0]),
            direction=direction,
            detail=detail,
            threshold=self.threshold,
            values=len(after),
        )

    def _missing(self, absent: NDArray[Any]) -> Comparison:
        before, after = np.isnan(self.values), absent
        statistic, p_value = _alibi(before.astype(float), after.astype(float), "chi2")
        counts = [np.bincount(side.astype(np.intp), minlength=2) for side in (before, after)]
        return Comparison(
            feature=self.column.name,
            aspect="missing",
            test="chi2",
            statistic=statistic,
            p_value=p_value,
            effect=stability_index(counts[0], counts[1]),
            direction="up" if after.mean() > before.mean() else "down",
            detail=f"missing {before.mean():.1%} -> {after.mean():.1%}",
            threshold=self.threshold_missing,
            values=len(after),
        )


def _alibi(
    before: NDArray[Any], after: NDArray[Any], test: Literal["ks", "chi2"]
) -> tuple[float, float]:
    """Statistic and p-value of alibi-detect's test of one column without missing values."""
    from alibi_detect.cd import TabularDrift

    categories = {0: None} if test == "chi2" else {}
    detector = TabularDrift(before[:, None], categories_per_feature=categories)
    data = detector.predict(after[:, None], drift_type="feature")["data"]
    return float(data["distance"][0]), float(data["p_val"][0])


def _step(rows: int, bound: int) -> int:
    """Every how manieth row to take so that at most ``bound`` are left."""
    return max(1, -(-rows // bound))
