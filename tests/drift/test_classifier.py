"""A classifier sees what trees can see, and is honest about what it always could."""

from __future__ import annotations

import pandas as pd

from perennial.drift import InputVerdict, build_detector
from perennial.spec import Policy
from tests.drift.streams import FEATURES, rows


def check(window: pd.DataFrame, reference: pd.DataFrame) -> InputVerdict:
    policy = Policy(detectors=("classifier",))
    return build_detector(policy, reference, FEATURES, window_rows=len(window)).check(window)


def test_a_correlation_that_flips_is_seen() -> None:
    verdict = check(rows(500, 1, correlation=-0.8), rows(4000))
    (culprit,) = verdict.culprits
    assert culprit.label == "joint"
    assert culprit.statistic > 0.8


def test_the_same_distribution_is_no_shift() -> None:
    assert sum(check(rows(200, seed), rows(1600)).shifted for seed in range(1, 6)) == 0


def test_detectors_stand_side_by_side() -> None:
    policy = Policy(detectors=("moments", "classifier"))
    detector = build_detector(policy, rows(2000), FEATURES, window_rows=200)
    window = rows(200, 1, correlation=-0.8)
    first = detector.check(window)
    verdict = detector.check(window, history=[first])
    assert verdict.detector == "moments, classifier"
    assert {v.label for v in verdict.lasting} == {"association", "joint"}


def test_too_few_rows_are_not_judged() -> None:
    assert not check(rows(10, 1), rows(30)).shifted
