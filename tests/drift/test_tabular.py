"""A detector sees what changed, and stays calm where nothing of weight did."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from perennial.drift import InputVerdict, build_detector
from perennial.drift.detector import TabularConfig
from perennial.drift.tabular import TabularDetector
from perennial.errors import SourceError
from perennial.packaging.signature import Feature
from perennial.spec import Policy

pytestmark = pytest.mark.skipif(
    find_spec("alibi_detect") is None,
    reason="there is no alibi-detect for Python 3.13 and later",
)

FEATURES = (
    Feature(name="heat", kind="numeric"),
    Feature(name="place", kind="categorical"),
)


def rows(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {"heat": rng.normal(20, 3, n), "place": rng.choice(["a", "b", "c"], n, p=[0.6, 0.3, 0.1])}
    )


def check(window: pd.DataFrame, reference: pd.DataFrame | None = None) -> InputVerdict:
    reference = rows(2000) if reference is None else reference
    policy = Policy(detectors=("tabular",), effect_size=0.2)
    detector = build_detector(policy, reference, FEATURES, window_rows=len(window))
    return detector.check(window)


def test_the_same_distribution_is_no_shift() -> None:
    shifted = [check(rows(300, seed)).shifted for seed in range(1, 21)]
    assert sum(shifted) == 0


@pytest.mark.parametrize("n", [20, 30])
def test_tiny_windows_of_the_same_distribution_are_no_shift(n: int) -> None:
    shifted = [check(rows(n, seed)).shifted for seed in range(1, 41)]
    assert sum(shifted) <= 1


def test_a_moved_mean_is_named_with_its_direction() -> None:
    window = rows(300, 1)
    window["heat"] += 3
    verdict = check(window)
    (culprit,) = verdict.culprits
    assert (culprit.feature, culprit.direction, culprit.test) == ("heat", "up", "ks")
    assert culprit.effect > 0.5
    assert verdict.shifted
    assert verdict.p_value < 1e-6


def test_a_category_nobody_knew_is_a_shift() -> None:
    window = rows(300, 1)
    window.loc[::3, "place"] = "new"
    (culprit,) = check(window).culprits
    assert culprit.label == "place"
    assert "rare or new values 0.0% -> 33.3%" in culprit.detail


def test_missing_values_do_not_hide_a_shift_and_are_one_themselves() -> None:
    window = rows(300, 1)
    window["heat"] += 3
    window.loc[::2, "heat"] = np.nan
    assert {v.label for v in check(window).culprits} == {"heat", "missing heat"}


def test_a_missing_rate_as_before_is_no_shift() -> None:
    reference, window = rows(2000), rows(300, 1)
    for frame in (reference, window):
        frame.loc[::4, "heat"] = np.nan
        frame.loc[::5, "place"] = None
    verdict = check(window, reference)
    assert not verdict.shifted
    assert {(v.feature, v.aspect) for v in verdict.features} == {
        (name, aspect) for name in ("heat", "place") for aspect in ("values", "missing")
    }


def test_a_feature_that_dies_is_a_shift_of_its_missing_rate() -> None:
    window = rows(100, 1)
    window["heat"] = np.nan
    (culprit,) = check(window).culprits
    assert culprit.label == "missing heat"
    assert culprit.detail == "missing 0.0% -> 100.0%"


def test_a_column_without_values_on_either_side_is_no_shift() -> None:
    reference, window = rows(500), rows(100, 1)
    reference["heat"] = window["heat"] = None
    assert not check(window, reference).shifted


def test_a_constant_column_is_no_shift_until_it_moves() -> None:
    reference, window = rows(500), rows(100, 1)
    reference["heat"] = window["heat"] = 7.0
    assert not check(window, reference).shifted
    window["heat"] = 6.5
    (culprit,) = check(window, reference).culprits
    assert culprit.direction == "down"


def test_a_small_shift_is_no_shift_however_significant() -> None:
    window = rows(20_000, 1)
    window["heat"] += 0.6
    verdict = check(window, rows(20_000))
    assert verdict.p_value < 0.01
    assert not verdict.shifted


def test_a_season_inside_the_reference_is_not_news() -> None:
    t = np.arange(4300)
    stream = rows(4300)
    stream["heat"] += 6 * np.sin(2 * np.pi * t / 2000)
    assert not check(stream.iloc[4000:], stream.iloc[:4000]).shifted


def test_rows_come_as_the_log_stores_them() -> None:
    window = rows(100, 1).astype(object)
    window["place"] = window["place"].replace({"c": ""})
    verdict = check(window, rows(2000).astype({"heat": np.float32}))
    assert {v.label for v in verdict.culprits} <= {"missing place"}


def test_large_sides_are_thinned_out() -> None:
    config = TabularConfig(p_value=0.01, effect_size=0.2, max_rows=500)
    detector = TabularDetector(config, rows(4000), FEATURES, window_rows=400)
    verdict = detector.check(rows(4000, 1))
    assert (verdict.rows, verdict.reference_rows) == (4000, 4000)
    assert not verdict.shifted


def test_a_window_without_a_feature_is_refused() -> None:
    with pytest.raises(SourceError, match="the window lacks place"):
        check(rows(100).drop(columns="place"))


def test_no_features_are_no_shift() -> None:
    detector = build_detector(Policy(detectors=("tabular",)), rows(100), (), window_rows=50)
    verdict = detector.check(rows(50))
    assert (verdict.shifted, verdict.p_value, verdict.effect) == (False, 1.0, 0.0)


def test_a_verdict_survives_json() -> None:
    verdict = check(rows(50, 1))
    assert InputVerdict.model_validate_json(verdict.model_dump_json()) == verdict
