"""A confirmed drift names what carries it, since when, and what it costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.drift import InputVerdict, build_detector
from perennial.drift.why import Explanation, explain
from perennial.spec import Policy
from tests.drift.streams import FEATURES, rows

REFERENCE = rows(4000)


def follow(windows: list[pd.DataFrame]) -> list[tuple[str, InputVerdict]]:
    detector = build_detector(Policy(), REFERENCE, FEATURES, window_rows=300)
    history: list[InputVerdict] = []
    for window in windows:
        history.append(detector.check(window, history=history))
    return [(f"w{i + 1:06d}", verdict) for i, verdict in enumerate(history)]


def windows(changed: int, **columns: float) -> list[pd.DataFrame]:
    """Four windows as ever, then some in which columns have moved."""
    found = [rows(300, seed + 1) for seed in range(4 + changed)]
    for window in found[4:]:
        for name, by in columns.items():
            window[name] += by
    return found


def test_the_feature_that_moved_is_named_with_its_first_window() -> None:
    stream = windows(3, heat=3)
    explanation = explain(follow(stream), REFERENCE, stream[-1], FEATURES)
    (cause,) = explanation.causes
    assert (cause.label, cause.features, cause.since) == ("heat", ("heat",), "w000005")
    assert (cause.extra_loss, cause.loss_share) == (None, None)
    assert len(cause.scores) == 7


def test_two_drifts_in_one_window_are_told_apart_by_what_they_cost() -> None:
    stream = windows(2, heat=3, wind=1.5)
    losses = np.exp((REFERENCE["heat"].to_numpy() - 20) / 6)
    harmless = rows(300, 99)
    for window in stream[4:]:
        window["wind"] = harmless["wind"] - 1.5
    explanation = explain(follow(stream), REFERENCE, stream[-1], FEATURES, losses=losses, ratio=1.6)
    by_name = {cause.label: cause for cause in explanation.causes}
    assert {"heat", "wind"} <= set(by_name)
    heat, wind = by_name["heat"], by_name["wind"]
    assert heat.extra_loss == pytest.approx(0.6, abs=0.2)
    assert heat.loss_share is not None
    assert heat.loss_share > 0.6
    assert wind.loss_share == 0.0


def test_a_correlation_that_flipped_is_drawn_as_a_line() -> None:
    stream = [rows(300, 1), *[rows(300, seed, correlation=-0.8) for seed in (2, 3)]]
    explanation = explain(follow(stream), REFERENCE, stream[-1], FEATURES)
    (cause,) = explanation.causes
    assert (cause.label, cause.features, cause.since) == (
        "association",
        ("heat", "wind"),
        "w000002",
    )
    assert cause.picture is not None
    assert cause.picture.kind == "line"
    before, after = cause.picture.before, cause.picture.after
    assert before[0] is not None
    assert after[0] is not None
    assert before[0] < 0 < after[0]


def test_a_feature_that_died_and_a_new_category_have_pictures() -> None:
    stream = windows(2)
    for window in stream[4:]:
        window["heat"] = np.nan
        window.loc[::2, "place"] = "new"
    explanation = explain(follow(stream), REFERENCE, stream[-1], FEATURES)
    pictures = {cause.label: cause.picture for cause in explanation.causes}
    assert pictures["missing heat"] is not None
    assert pictures["missing heat"].after == (1.0, 0.0)
    assert pictures["place"] is not None
    assert pictures["place"].ticks[-1] == "other"
    assert pictures["place"].after[-1] == 0.5


def test_it_survives_json() -> None:
    stream = windows(2, heat=3)
    found = explain(follow(stream), REFERENCE, stream[-1], FEATURES)
    assert Explanation.model_validate_json(found.model_dump_json()) == found


def test_a_quiet_window_has_no_cause() -> None:
    stream = windows(0)
    assert explain(follow(stream), REFERENCE, stream[-1], FEATURES).causes == ()
    with pytest.raises(ValueError, match="no windows"):
        explain([], REFERENCE, stream[-1], FEATURES)
