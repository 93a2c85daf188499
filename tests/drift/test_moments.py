"""The default detector sees what changed, and takes what the stream always did for usual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from benchmarks.bench_drift import in_time
from benchmarks.drift_streams import CHANGES, category
from perennial.drift import InputVerdict, build_detector, build_label_detector
from perennial.drift.detector import MomentsConfig
from perennial.drift.moments import MomentsDetector
from perennial.errors import SourceError
from perennial.spec import Policy
from tests.drift.streams import FEATURES, rows


def check(window: pd.DataFrame, reference: pd.DataFrame | None = None) -> InputVerdict:
    reference = rows(4000) if reference is None else reference
    return build_detector(Policy(), reference, FEATURES, window_rows=len(window)).check(window)


def follow(reference: pd.DataFrame, windows: Sequence[pd.DataFrame]) -> list[InputVerdict]:
    detector = build_detector(Policy(), reference, FEATURES, window_rows=len(windows[0]))
    history: list[InputVerdict] = []
    for window in windows:
        history.append(detector.check(window, history=history))
    return history


def labels(verdict: InputVerdict) -> set[str]:
    return {v.label for v in verdict.culprits}


@pytest.mark.parametrize("n", [20, 60, 300])
def test_the_same_distribution_is_no_shift(n: int) -> None:
    shifted = [check(rows(n, seed), rows(12 * n, seed + 100)).shifted for seed in range(40)]
    assert sum(shifted) <= 2


def test_a_moved_mean_is_named_with_its_direction() -> None:
    window = rows(300, 1)
    window["heat"] += 1.5
    culprit = check(window).culprits[0]
    assert (culprit.feature, culprit.direction, culprit.test) == ("heat", "up", "moments")
    assert culprit.statistic > 5
    assert "mean 19.9" in culprit.detail


def test_a_spread_that_grew_is_a_shift() -> None:
    window = rows(300, 1)
    window["heat"] = 20 + (window["heat"] - 20) * 2
    (culprit,) = check(window).culprits
    assert (culprit.feature, culprit.direction) == ("heat", "reshaped")


def test_a_correlation_that_flips_is_seen_though_each_feature_stays() -> None:
    (culprit,) = check(rows(300, 1, correlation=-0.8)).culprits
    assert (culprit.label, culprit.feature) == ("association", "heat with wind")
    assert "0.80 -> -0.7" in culprit.detail


def test_a_category_nobody_knew_is_a_shift() -> None:
    window = rows(300, 1)
    window.loc[::3, "place"] = "new"
    assert "place" in labels(check(window))


def test_a_feature_that_dies_is_a_shift_of_its_missing_rate() -> None:
    window = rows(100, 1)
    window["heat"] = np.nan
    (culprit,) = check(window).culprits
    assert (culprit.label, culprit.detail) == ("missing heat", "missing 0.0% -> 100.0%")


def test_missing_values_do_not_hide_a_shift_and_are_one_themselves() -> None:
    window = rows(300, 1)
    window["heat"] += 3
    window.loc[::2, "heat"] = np.nan
    assert {"heat", "missing heat"} <= labels(check(window))


def test_a_missing_rate_as_before_is_no_shift() -> None:
    reference, window = rows(4000), rows(300, 1)
    for frame in (reference, window):
        frame.loc[::4, "heat"] = np.nan
        frame.loc[::5, "place"] = None
    assert not check(window, reference).shifted


def test_columns_without_values_or_change_are_no_shift() -> None:
    reference, window = rows(500), rows(100, 1)
    reference["heat"] = window["heat"] = None
    reference["wind"] = window["wind"] = 7.0
    assert not check(window, reference).shifted
    window["wind"] = 6.5
    (culprit,) = check(window, reference).culprits
    assert (culprit.label, culprit.direction) == ("wind", "down")


def test_a_feature_that_comes_to_life_is_a_shift() -> None:
    reference = rows(1000)
    reference["heat"] = None
    assert "missing heat" in labels(check(rows(100, 1), reference))


def test_a_small_shift_is_no_shift_however_significant() -> None:
    window = rows(40_000, 1)
    window["heat"] += 0.3
    verdict = check(window, rows(400_000))
    assert verdict.p_value < 0.01
    assert not verdict.shifted


def test_wild_values_do_not_blind() -> None:
    reference, window = rows(4000), rows(300, 1)
    reference.loc[::50, "heat"] = 1e12
    window.loc[::50, "heat"] = -1e12
    assert "heat" in labels(check(window, reference))


def test_windows_that_differ_as_the_reference_s_do_are_usual() -> None:
    rng = np.random.default_rng(0)
    stream = rows(16 * 300)
    stream["heat"] += np.repeat(rng.normal(0, 3, 16), 300)
    reference, windows = stream[:3600], [stream[i : i + 300] for i in range(3600, 4800, 300)]
    assert not any("heat" in labels(v) for v in follow(reference, windows))


def test_a_trend_that_goes_on_is_usual_and_a_jump_on_it_is_not() -> None:
    stream = rows(40 * 300, 3)
    stream["heat"] += np.linspace(0, 6, len(stream))
    stream.loc[38 * 300 :, "heat"] -= 6
    windows = [stream[i : i + 300] for i in range(3600, len(stream), 300)]
    history = follow(stream[:3600], windows)
    assert sum("heat" in labels(v) for v in history[:-2]) <= 1
    assert history[-1].lasting[0].label == "heat"


def test_what_leans_one_way_for_two_windows_is_confirmed_before_either_stands_out() -> None:
    found = []
    for seed in range(20):
        windows = [rows(300, seed * 7 + i + 1) for i in range(2)]
        for window in windows:
            window["heat"] += 0.75
        found.append(follow(rows(3600, seed), windows))
    assert sum(bool(last.lasting) for _, last in found) > sum(
        first.shifted and last.shifted for first, last in found
    )
    assert not any(first.confirmed for first, _ in found)


def test_a_tenth_of_the_rows_in_another_category_is_confirmed_within_two_windows() -> None:
    scenario = next(s for s in CHANGES if s.make is category)
    assert np.mean([in_time(scenario, 300, seed) for seed in range(40)]) >= 0.8


def test_one_wild_window_is_not_confirmed() -> None:
    window = rows(300, 1)
    window["heat"] += 6
    history = follow(rows(3600), [window, rows(300, 2)])
    assert history[0].shifted
    assert not history[1].confirmed


def test_where_one_window_is_enough_it_is_confirmed_at_once() -> None:
    policy = Policy(persistence=1)
    window = rows(300, 1)
    window["heat"] += 3
    detector = build_detector(policy, rows(3600), FEATURES, window_rows=300)
    quiet = detector.check(rows(300, 2))
    verdict = detector.check(window, history=[quiet])
    assert not quiet.confirmed
    assert [v.label for v in verdict.lasting] == ["heat"]


def test_the_champion_s_answers_are_watched() -> None:
    reference, window = rows(3600), rows(300, 1)
    config = MomentsConfig(p_value=0.01, effect_size=0.02)
    output = reference[["heat"]].to_numpy() / 3
    detector = MomentsDetector(config, reference, FEATURES, window_rows=300, output=output)
    verdict = detector.check(window, output=window[["heat"]].to_numpy() / 3 + 1)
    assert labels(verdict) == {"prediction output"}
    assert not detector.check(window).shifted


def test_labels_are_watched_as_a_column_of_their_own() -> None:
    rng = np.random.default_rng(0)
    reference = pd.Series(rng.choice(["yes", "no"], 3600, p=[0.2, 0.8]), name="sold")
    window = pd.DataFrame({"sold": rng.choice(["yes", "no"], 300, p=[0.5, 0.5])})
    detector = build_label_detector(Policy(), reference, numeric=False, window_rows=300)
    assert labels(detector.check(window)) == {"label sold"}


def test_a_window_read_in_parts_is_the_same_window() -> None:
    window = rows(3000, 1)
    window.loc[::7, "heat"] = np.nan
    config = MomentsConfig(p_value=0.01, effect_size=0.02)
    detector = MomentsDetector(config, rows(12_000), FEATURES, window_rows=3000)
    whole = detector.check(window)
    parts = detector.check_parts([(window[:1000], None), (window[1000:], None)])
    for a, b in zip(whole.features, parts.features, strict=True):
        assert b.statistic == pytest.approx(a.statistic, abs=1e-9)
        assert b.effect == pytest.approx(a.effect)


def test_a_short_reference_still_serves() -> None:
    window = rows(60, 1)
    assert not check(window, rows(60)).shifted
    window["heat"] += 12
    assert "heat" in labels(check(window, rows(60)))


def test_no_features_are_no_shift() -> None:
    detector = build_detector(Policy(), rows(100), (), window_rows=50)
    verdict = detector.check(rows(50))
    assert (verdict.shifted, verdict.p_value, verdict.effect) == (False, 1.0, 0.0)


def test_a_window_without_a_feature_is_refused() -> None:
    with pytest.raises(SourceError, match="the window lacks place"):
        check(rows(100).drop(columns="place"))


def test_a_verdict_survives_json() -> None:
    window = rows(50, 1)
    window["heat"] = np.nan
    verdict = check(window)
    assert InputVerdict.model_validate_json(verdict.model_dump_json()) == verdict
