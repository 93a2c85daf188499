"""What a detector is, and what it says of a window.

A detector measures: it is built from reference rows and a configuration (never from a pickle, which
could run code) and gives a verdict of each window. What is to be done about it is the policy's
business (`perennial.drift.policy`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Direction = Literal["up", "down", "reshaped", "none"]
"""up, down: of the mean of a numeric feature, of the missing rate, of a correlation. reshaped:
changed otherwise; of a categorical feature always."""

Aspect = Literal["values", "missing", "prediction", "label", "association", "joint"]
"""What of a window is compared: a feature's values, its missing rate, the champion's output, the
labels, how features go together, or all features at once."""

TestName = Literal["moments", "ks", "chi2", "classifier", "none"]


class FeatureVerdict(BaseModel):
    """One feature of a window, its missing rate, or another aspect, against the reference."""

    model_config = ConfigDict(frozen=True)

    feature: str
    aspect: Aspect
    test: TestName
    """none: there was nothing to compare (no values, or none in the reference)."""
    statistic: float
    """moments: by how many standard errors the strongest statistic is off what the reference's own
    windows predict. ks: the distance. chi2: the sum. classifier: area under the ROC curve."""
    p_value: float
    """Corrected for the number of features tested together."""
    effect: float
    """Population stability index, freed of what chance alone adds; 0.1 is small, 0.25 large.
    association: the same divergence of two normal laws with these correlations. joint: 2 AUC - 1.
    """
    threshold: float
    """The effect from which the feature counts."""
    direction: Direction
    detail: str
    """What changed, in words: ``mean 0.31 -> 0.52``."""
    shifted: bool
    """In this window."""
    confirmed: bool = False
    """It lasts: the newest windows (the policy's ``persistence``), this one the last, say so
    together and each leans that way, or each of them was shifted."""
    values: int = 0
    """Rows behind ``levels``: those in which the feature has a value."""
    levels: tuple[float, ...] = ()
    """The window's statistics, from which later windows learn what is usual."""

    @property
    def label(self) -> str:
        """The feature's name as it stands in reasons."""
        if self.aspect == "values":
            return self.feature
        if self.aspect in ("association", "joint"):
            return self.aspect
        return f"{self.aspect} {self.feature}"


class InputVerdict(BaseModel):
    """What a detector says of a window's features."""

    model_config = ConfigDict(frozen=True)

    detector: str
    rows: int
    reference_rows: int
    age: int = 0
    """Windows that were checked between the reference and this one."""
    p_value: float
    """Jointly: the least corrected p-value."""
    effect: float
    """Jointly: the largest effect."""
    features: tuple[FeatureVerdict, ...]
    shifted: bool
    confirmed: bool = False

    @property
    def culprits(self) -> tuple[FeatureVerdict, ...]:
        """The shifted features, the strongest effect (in its own threshold's units) first."""
        return tuple(sorted((v for v in self.features if v.shifted), key=_strength))

    @property
    def lasting(self) -> tuple[FeatureVerdict, ...]:
        """What is confirmed, the strongest effect first."""
        return tuple(sorted((v for v in self.features if v.confirmed), key=_strength))


def _strength(verdict: FeatureVerdict) -> float:
    return -verdict.effect / max(verdict.threshold, 1e-9)


class TabularConfig(BaseModel):
    """Univariate tests, feature by feature."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["tabular"] = "tabular"
    p_value: float = Field(gt=0, lt=1)
    effect_size: float = Field(ge=0)
    persistence: int = Field(default=2, ge=1)
    max_rows: int = Field(default=5000, ge=100)
    """More rows than this, of reference or window, are thinned out evenly."""


class MomentsConfig(BaseModel):
    """Statistics of windows against what the reference's own windows predict."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["moments"] = "moments"
    p_value: float = Field(gt=0, lt=1)
    effect_size: float = Field(ge=0)
    persistence: int = Field(default=2, ge=1)


class ClassifierConfig(BaseModel):
    """A classifier that tries to tell a window from the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["classifier"] = "classifier"
    p_value: float = Field(gt=0, lt=1)
    effect_size: float = Field(ge=0)
    persistence: int = Field(default=2, ge=1)
    seed: int = Field(default=0, ge=0)
    max_rows: int = Field(default=4000, ge=100)
    """More rows than this, of reference or window, are thinned out evenly."""


class Detector(Protocol):
    """Measures windows against the reference it was built from."""

    def check(
        self,
        window: pd.DataFrame,
        *,
        output: NDArray[Any] | None = None,
        history: Sequence[InputVerdict] = (),
    ) -> InputVerdict:
        """Compare a window (a column a feature; others are passed over) with the reference.

        Args:
            output: the champion's output on the window (rows, width); None: it is not looked at.
            history: this detector's verdicts on the windows since the reference, the oldest first.
                Those that are long past may be left out. What was quiet widens what is known to be
                usual.

        Raises:
            SourceError: the window lacks a feature.
        """
        ...
