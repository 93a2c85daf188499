"""Feature by feature with alibi-detect's TabularDrift: Kolmogorov-Smirnov for numbers, chi-squared
for categories and for the rate of missing values.

The library goes blind on a column with one NaN, so each column is tested alone, on its present
values; what is missing is a feature of its own. A significant shift only counts with an effect: the
stability index must pass the policy's threshold and twice what the reference's own windows show
among one another, so that a season or a trend inside the reference is not news.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.drift.columns import Column, column_of
from perennial.drift.detector import Direction, FeatureVerdict, InputVerdict, TabularConfig
from perennial.drift.effect import history_effect, stability_index
from perennial.errors import SourceError
from perennial.packaging.signature import Feature

_USUAL_MARGIN = 2.0
"""By how much a shift must pass the largest one inside the reference: its few windows show less
than what an unchanged stream will."""
_MIN_VALUES = 5
"""With fewer present values on a side no test is made."""

Test = Literal["ks", "chi2", "none"]


@dataclass(frozen=True)
class _Comparison:
    """One feature, or its missing rate, on both sides, before any correction."""

    feature: str
    aspect: Literal["values", "missing"]
    test: Test
    statistic: float
    p_value: float
    effect: float
    usual: float
    direction: Direction
    detail: str


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
        """Keep the reference's columns.

        Args:
            config: levels and bounds.
            reference: what the champion was trained on (or evenly spaced rows of it), in time
                order.
            features: the columns to watch.
            window_rows: how many rows of the reference span as much of the stream as one window
                does; by this the reference is cut to see what is usual.

        Raises:
            SourceError: the reference lacks a feature.
        """
        _require(reference, features, "reference")
        step = _step(len(reference), config.max_rows)
        thinned = reference.iloc[::step]
        block = max(1, window_rows // step)
        self._config = config
        self._rows = len(reference)
        self._features = tuple(features)
        self._sides = [_Side.of(column_of(f, thinned[f.name]), thinned, block) for f in features]

    def check(self, window: pd.DataFrame) -> InputVerdict:
        """As `perennial.drift.detector.Detector`."""
        _require(window, self._features, "window")
        thinned = window.iloc[:: _step(len(window), self._config.max_rows)]
        found = [c for side in self._sides for c in side.compare(thinned)]
        verdicts = tuple(_judge(found, self._config))
        return InputVerdict(
            detector=self._config.kind,
            rows=len(window),
            reference_rows=self._rows,
            p_value=min((v.p_value for v in verdicts), default=1.0),
            effect=max((v.effect for v in verdicts), default=0.0),
            features=verdicts,
            shifted=any(v.shifted for v in verdicts),
        )


@dataclass(frozen=True)
class _Side:
    """The reference's side of one feature."""

    column: Column
    test: Test
    values: NDArray[Any]
    counts: NDArray[Any]
    usual: float
    usual_missing: float

    @classmethod
    def of(cls, column: Column, reference: pd.DataFrame, block: int) -> _Side:
        values = column.read(reference[column.name])
        codes = column.codes(values)
        absent = np.isnan(values)
        return cls(
            column=column,
            test=column.test,
            values=values,
            counts=np.bincount(codes[codes >= 0], minlength=column.bins),
            usual=history_effect(codes, column.bins, block),
            usual_missing=history_effect(absent.astype(np.intp), 2, block),
        )

    def compare(self, window: pd.DataFrame) -> list[_Comparison]:
        """Compare values, and the missing rate where anything is or was missing."""
        values = self.column.read(window[self.column.name])
        found = [self._values(values)]
        if np.isnan(values).any() or np.isnan(self.values).any():
            found.append(self._missing(np.isnan(values)))
        return found

    def _values(self, values: NDArray[Any]) -> _Comparison:
        before, after = self.values[~np.isnan(self.values)], values[~np.isnan(values)]
        blank = _Comparison(
            self.column.name, "values", "none", 0.0, 1.0, 0.0, self.usual, "none", "no values"
        )
        if min(len(before), len(after)) < _MIN_VALUES:
            return blank
        statistic, p_value = _alibi(before, after, self.test)
        codes = self.column.codes(after)
        direction, detail = self.column.describe(before, after)
        return replace(
            blank,
            test=self.test,
            statistic=statistic,
            p_value=p_value,
            effect=stability_index(self.counts, np.bincount(codes, minlength=self.column.bins)),
            direction=direction,
            detail=detail,
        )

    def _missing(self, absent: NDArray[Any]) -> _Comparison:
        before, after = np.isnan(self.values), absent
        statistic, p_value = _alibi(before.astype(float), after.astype(float), "chi2")
        counts = [np.bincount(side.astype(np.intp), minlength=2) for side in (before, after)]
        return _Comparison(
            feature=self.column.name,
            aspect="missing",
            test="chi2",
            statistic=statistic,
            p_value=p_value,
            effect=stability_index(counts[0], counts[1]),
            usual=self.usual_missing,
            direction="up" if after.mean() > before.mean() else "down",
            detail=f"missing {before.mean():.1%} -> {after.mean():.1%}",
        )


def _alibi(before: NDArray[Any], after: NDArray[Any], test: Test) -> tuple[float, float]:
    """Statistic and p-value of alibi-detect's test of one column without missing values."""
    from alibi_detect.cd import TabularDrift

    categories = {0: None} if test == "chi2" else {}
    detector = TabularDrift(before[:, None], categories_per_feature=categories)
    data = detector.predict(after[:, None], drift_type="feature")["data"]
    return float(data["distance"][0]), float(data["p_val"][0])


def _judge(found: Sequence[_Comparison], config: TabularConfig) -> list[FeatureVerdict]:
    """Correct the p-values and hold each effect against its threshold."""
    from scipy.stats import false_discovery_control

    corrected = false_discovery_control([c.p_value for c in found]) if found else []
    verdicts = []
    for c, p_value in zip(found, corrected, strict=True):
        threshold = max(config.effect_size, _USUAL_MARGIN * c.usual)
        shifted = bool(p_value <= config.p_value and c.effect > threshold)
        verdicts.append(
            FeatureVerdict(
                feature=c.feature,
                aspect=c.aspect,
                test=c.test,
                statistic=c.statistic,
                p_value=float(p_value),
                effect=c.effect,
                threshold=threshold,
                direction=c.direction if p_value <= config.p_value else "none",
                detail=c.detail,
                shifted=shifted,
            )
        )
    return verdicts


def _step(rows: int, bound: int) -> int:
    """Every how manieth row to take so that at most ``bound`` are left."""
    return max(1, -(-rows // bound))


def _require(frame: pd.DataFrame, features: Sequence[Feature], what: str) -> None:
    lacking = [f.name for f in features if f.name not in frame.columns]
    if lacking:
        raise SourceError(f"the {what} lacks {', '.join(lacking)}")
