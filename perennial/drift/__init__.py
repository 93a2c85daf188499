"""Detectors, loss tracking and the decision policy.

A detector measures, the loss is held against its promise, the policy judges. Nothing here acts.
"""

from collections.abc import Sequence

import pandas as pd

from perennial.drift.detector import (
    Detector,
    FeatureVerdict,
    InputVerdict,
    TabularConfig,
)
from perennial.drift.loss import LossVerdict, Promise, check_loss, promise
from perennial.drift.policy import Decision, HealRecord, Verdicts, decide, quiet_windows
from perennial.drift.record import Check
from perennial.packaging.signature import Feature
from perennial.spec import Policy

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
    "check_loss",
    "decide",
    "promise",
    "quiet_windows",
]


def build_detector(
    policy: Policy,
    reference: pd.DataFrame,
    features: Sequence[Feature],
    *,
    window_rows: int,
) -> Detector:
    """Build the detector that a policy asks for; arguments as `TabularDetector`."""
    from perennial.drift.tabular import TabularDetector

    config = TabularConfig(p_value=policy.p_value, effect_size=policy.effect_size)
    return TabularDetector(config, reference, features, window_rows=window_rows)
