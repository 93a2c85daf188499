"""The detectors by name. A new one is a class, a line here and its name in `perennial.spec`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from perennial.drift.classifier import ClassifierDetector
from perennial.drift.detector import (
    ClassifierConfig,
    Detector,
    InputVerdict,
    MomentsConfig,
    TabularConfig,
)
from perennial.drift.moments import MomentsDetector
from perennial.drift.tabular import TabularDetector
from perennial.packaging.signature import Feature
from perennial.spec import DetectorName, Policy


def _moments(
    policy: Policy,
    reference: pd.DataFrame,
    features: Sequence[Feature],
    *,
    window_rows: int,
    output: NDArray[Any] | None,
) -> Detector:
    config = MomentsConfig(**_levels(policy))
    return MomentsDetector(config, reference, features, window_rows=window_rows, output=output)


def _tabular(
    policy: Policy,
    reference: pd.DataFrame,
    features: Sequence[Feature],
    *,
    window_rows: int,
    **_: object,
) -> Detector:
    config = TabularConfig(**_levels(policy))
    return TabularDetector(config, reference, features, window_rows=window_rows)


def _classifier(
    policy: Policy,
    reference: pd.DataFrame,
    features: Sequence[Feature],
    *,
    window_rows: int,
    **_: object,
) -> Detector:
    config = ClassifierConfig(**_levels(policy))
    return ClassifierDetector(config, reference, features, window_rows=window_rows)


KINDS: dict[DetectorName, Callable[..., Detector]] = {
    "moments": _moments,
    "tabular": _tabular,
    "classifier": _classifier,
}


def _levels(policy: Policy) -> dict[str, Any]:
    """Several detectors share the level among them."""
    return {
        "p_value": policy.p_value / len(policy.detectors),
        "effect_size": policy.effect_size,
        "persistence": policy.persistence,
    }


@dataclass(frozen=True)
class SeveralDetectors:
    """All of them; a window is shifted where one says so."""

    detectors: tuple[Detector, ...]

    def check(
        self,
        window: pd.DataFrame,
        *,
        output: NDArray[Any] | None = None,
        history: Sequence[InputVerdict] = (),
    ) -> InputVerdict:
        """As `perennial.drift.detector.Detector`.

        A feature is named once for each detector that looks at it. Of the history each takes the
        verdicts of its own tests.
        """
        found = [d.check(window, output=output, history=history) for d in self.detectors]
        return InputVerdict(
            detector=", ".join(verdict.detector for verdict in found),
            rows=len(window),
            reference_rows=found[0].reference_rows,
            age=found[0].age,
            p_value=min(verdict.p_value for verdict in found),
            effect=max(verdict.effect for verdict in found),
            features=tuple(f for verdict in found for f in verdict.features),
            shifted=any(verdict.shifted for verdict in found),
            confirmed=any(verdict.confirmed for verdict in found),
        )
