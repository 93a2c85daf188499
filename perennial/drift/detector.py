"""What a detector is, and what it says of a window.

A detector measures: it is built from reference rows and a configuration (never from a pickle, which
could run code) and gives a verdict of each window. What is to be done about it is the policy's
business (`perennial.drift.policy`).
"""

from __future__ import annotations

from typing import Literal, Protocol

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

Direction = Literal["up", "down", "reshaped", "none"]
"""up, down: of the mean of a numeric feature, or of the missing rate. reshaped: changed otherwise;
of a categorical feature always."""


class FeatureVerdict(BaseModel):
    """One feature of a window, or its missing rate, against the reference."""

    model_config = ConfigDict(frozen=True)

    feature: str
    aspect: Literal["values", "missing"]
    test: Literal["ks", "chi2", "none"]
    """none: there was nothing to compare (no values, or none in the reference)."""
    statistic: float
    p_value: float
    """Corrected for the number of features tested together."""
    effect: float
    """Population stability index, freed of what chance alone adds; 0.1 is small, 0.25 large."""
    threshold: float
    """The effect from which the feature counts: the policy's, or twice what the reference's own
    windows show among one another if that is more."""
    direction: Direction
    detail: str
    """What changed, in words: ``mean 0.31 -> 0.52``."""
    shifted: bool

    @property
    def label(self) -> str:
        """The feature's name as it stands in reasons."""
        return self.feature if self.aspect == "values" else f"missing {self.feature}"


class InputVerdict(BaseModel):
    """What a detector says of a window's features."""

    model_config = ConfigDict(frozen=True)

    detector: str
    rows: int
    reference_rows: int
    p_value: float
    """Jointly: the least corrected p-value."""
    effect: float
    """Jointly: the largest effect."""
    features: tuple[FeatureVerdict, ...]
    shifted: bool

    @property
    def culprits(self) -> tuple[FeatureVerdict, ...]:
        """The shifted features, the strongest effect (in its own threshold's units) first."""
        found = [verdict for verdict in self.features if verdict.shifted]
        return tuple(sorted(found, key=lambda v: -v.effect / max(v.threshold, 1e-9)))


class TabularConfig(BaseModel):
    """Univariate tests, feature by feature."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["tabular"] = "tabular"
    p_value: float = Field(gt=0, lt=1)
    effect_size: float = Field(ge=0)
    max_rows: int = Field(default=5000, ge=100)
    """More rows than this, of reference or window, are thinned out evenly."""


class Detector(Protocol):
    """Measures windows against the reference it was built from."""

    def check(self, window: pd.DataFrame) -> InputVerdict:
        """Compare a window (a column a feature; others are passed over) with the reference.

        Raises:
            SourceError: the window lacks a feature.
        """
        ...
