"""Detectors, loss tracking and the decision policy.

A detector measures, the loss is held against its promise, the policy judges. Nothing here acts.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from perennial.drift.decision import Decision, HealRecord, Verdicts
from perennial.drift.detector import (
    Detector,
    FeatureVerdict,
    InputVerdict,
    TabularConfig,
)
from perennial.drift.loss import LossVerdict, Promise, check_loss, promise
from perennial.drift.record import Check
from perennial.packaging.signature import Feature
from perennial.spec import Policy, usable

__all__ = [
    "Check",
    "Decision",
    "Detector",
    "FeatureVerdict",
    "HealRecord",
    "InputVerdict",
    "LossVerdict",
    "Promise",
    "TabularConfig",
    "Verdicts",
    "build_detector",
    "build_label_detector",
    "check_loss",
    "promise",
]


def build_detector(
    policy: Policy,
    reference: pd.DataFrame,
    features: Sequence[Feature],
    *,
    window_rows: int,
    output: NDArray[Any] | None = None,
) -> Detector:
    """Build the detectors of a policy that can look here; arguments as `MomentsDetector`."""
    from perennial.drift.kinds import KINDS, SeveralDetectors

    policy = usable(policy)
    built = [
        KINDS[kind](policy, reference, features, window_rows=window_rows, output=output)
        for kind in policy.detectors
    ]
    return built[0] if len(built) == 1 else SeveralDetectors(tuple(built))


def build_label_detector(
    policy: Policy, reference: pd.Series, *, numeric: bool, window_rows: int
) -> Detector:
    """Build the detector of a drift of the labels themselves.

    Args:
        reference: the labels that the champion was trained on, in time order; the series' name is
            the target's.
        numeric: they are numbers, not classes.
        window_rows: as in `build_detector`.
    """
    from perennial.drift.detector import MomentsConfig
    from perennial.drift.moments import MomentsDetector

    config = MomentsConfig(
        p_value=policy.p_value, effect_size=policy.effect_size, persistence=policy.persistence
    )
    target = Feature(name=str(reference.name), kind="numeric" if numeric else "categorical")
    return MomentsDetector(
        config, reference.to_frame(), (target,), window_rows=window_rows, aspect="label"
    )
