"""What training sees and service never did is named; a dead sensor, a unit, a rounding is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from perennial.evaluation.leakage import changed_later, filled_later, find_leaks, leakage_check
from perennial.packaging.signature import Feature

N = 600
FEATURES = (Feature(name="x", kind="numeric"), Feature(name="c", kind="categorical"))


def source(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N)
    c = rng.choice(["a", "b", "d"], N).astype(object)
    y = (x + rng.normal(size=N) > 0).astype(int)
    return pd.DataFrame({"x": x, "c": c, "y": y})


def filled(served: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    return [leak.column for leak in filled_later(served, rows, FEATURES)]


def changed(served: pd.DataFrame, rows: pd.DataFrame, task: Any = "binary") -> list[str]:
    return [leak.column for leak in changed_later(served, rows, FEATURES, "y", task)]


@pytest.mark.parametrize("column", ["x", "c"])
@pytest.mark.parametrize("nothing", [None, np.nan, ""])
def test_a_feature_that_is_never_served_is_named(column: str, nothing: Any) -> None:
    rows = source()
    served = source(1).astype(object)
    served.loc[np.arange(N) % 10 != 3, column] = nothing
    assert filled(served, rows) == [column]
    assert "filled in later" in filled_later(served, rows, FEATURES)[0].detail


def test_a_feature_that_is_rare_in_the_source_too_is_none() -> None:
    rows, served = source(), source(1)
    for frame in (rows, served):
        frame.loc[np.arange(N) % 10 != 3, "x"] = np.nan
    assert filled(served, rows) == []


def test_a_sensor_that_failed_lately_is_none() -> None:
    served = source(1)
    served.loc[N // 3 :, "x"] = np.nan
    assert filled(served, source()) == []


def test_of_a_source_that_is_filled_by_now_in_its_old_rows_only_the_new_ones_count() -> None:
    rows = pd.concat([source(), source(1).assign(x=np.nan)], ignore_index=True)
    assert filled(source(2).assign(x=np.nan), rows) == []


def test_few_rows_say_nothing() -> None:
    assert filled(source(1).assign(x=np.nan).iloc[:20], source()) == []
    assert changed(source(1).iloc[:20], source().iloc[:20]) == []


@pytest.mark.parametrize("task", ["binary", "regression", "multiclass"])
def test_a_value_that_was_corrected_by_what_came_of_it_is_named(task: Any) -> None:
    rows = source()
    served = rows.assign(x=np.random.default_rng(5).normal(size=N))
    assert changed(served, rows, task) == ["x"]
    (leak,) = changed_later(served, rows, FEATURES, "y", task)
    assert "is changed later" in leak.detail


def test_text_that_was_filled_in_with_the_outcome_is_named() -> None:
    rows = source().assign(c=lambda f: f["y"].map({0: "closed", 1: "paid"}))
    assert changed(rows.assign(c="open"), rows) == ["c"]


@pytest.mark.parametrize("seed", range(20))
def test_a_unit_a_rounding_and_a_few_corrections_are_no_leak(seed: int) -> None:
    rows = source(seed)
    noise = np.random.default_rng(seed + 100).normal(0, 0.05, N)
    few = rows["x"].where(np.arange(N) % 50 != 0, 0.0)
    for x in (rows["x"] * 1.8 + 32, rows["x"].round(1), rows["x"] + noise, few):
        assert changed(rows.assign(x=x), rows) == []


@pytest.mark.parametrize("seed", range(20))
def test_what_tells_nothing_either_way_is_no_leak(seed: int) -> None:
    rows = source(seed).assign(c=np.random.default_rng(seed + 1000).choice(list("uvw"), N))
    served = rows.assign(c=np.random.default_rng(seed + 2000).choice(list("uvw"), N))
    assert changed(served, rows) == []


def test_the_gate_refuses_by_name_what_pipeline_yaml_does_not_allow() -> None:
    rows = source()
    later = filled_later(source(1).assign(x=np.nan), rows, FEATURES)
    given = {"held": 50, "later": later}
    check = leakage_check(find_leaks(rows, ("x", "c"), "y", "binary", **given))
    assert (check.verdict, "'x' had no value" in check.detail) == ("refused", True)
    allowed = find_leaks(rows, ("x", "c"), "y", "binary", **given, allowed=("x",))
    assert leakage_check(allowed).verdict == "overridden"
    assert find_leaks(rows, ("c",), "y", "binary", **given) == ()


def test_a_sensor_that_failed_long_ago_is_none() -> None:
    rows = source()
    rows.loc[N // 2 :, "x"] = np.nan
    assert filled(source(1).assign(x=np.nan), rows) == []
