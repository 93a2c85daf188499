"""On streams made here: a world that moves is let through, a broken pipe is held by its name."""

import numpy as np
import pandas as pd
import pytest

from perennial.spec import parse_spec
from perennial.validation.triage import Triage

ROWS = 300
SPEC = parse_spec(
    {
        "name": "p",
        "task": "binary",
        "source": {"uri": "a.csv"},
        "target": "y",
        "time": "ts",
        "monitor": {"window": f"{ROWS} rows"},
    },
    origin="test",
)


def stream(windows, *, start=0, seed=0, level=0.0, slope=1.0):
    """Hourly rows with a daily rhythm and a year's season."""
    rng = np.random.default_rng([seed, start])
    n = np.arange(start * ROWS, (start + windows) * ROWS)
    ts = pd.Timestamp("2030-01-01") + pd.to_timedelta(n, unit="h")
    heat = 15 + 10 * np.sin(2 * np.pi * n / 8766) + level + rng.normal(0, 3, len(n))
    load = 50 + 20 * np.sin(2 * np.pi * n / 24) + rng.normal(0, 5, len(n))
    kind = rng.choice(["a", "b", "c"], len(n), p=[0.6, 0.3, 0.1])
    score = slope * (load - 50) / 10 + (kind == "b") * slope + rng.logistic(0, 0.5, len(n))
    return pd.DataFrame(
        {
            "ts": ts,
            "hour": ts.hour,
            "heat": heat.round(1),
            "load": load,
            "kind": kind,
            "y": (score > 0).astype(int),
        }
    )


@pytest.fixture(scope="module")
def triage():
    return Triage.fit(stream(14), SPEC, ROWS)


@pytest.fixture(scope="module")
def window():
    return stream(1, start=14)


def causes(triage, frame, labels=None):
    verdict = triage.check("w", frame, labels)
    assert verdict.held == bool(verdict.causes)
    return {(cause.kind, cause.columns) for cause in verdict.causes}


def test_sound_windows_are_let_through_through_the_seasons(triage):
    held = []
    for number in range(14, 40):
        frame = stream(1, start=number)
        if triage.check("w", frame, frame["y"]).held:
            held.append(number)
        triage = triage.after(frame)
    assert held == []


def test_rows_at_half_hours_are_no_recoded_hours():
    rows, windows = 586, 9
    ts = pd.Timestamp("2030-01-01") + pd.to_timedelta(np.arange(rows * windows) * 30, unit="min")
    half = 2 * ts.hour + ts.minute // 30
    y = np.random.default_rng(0).integers(0, 2, len(ts))
    frame = pd.DataFrame({"ts": ts, "half": half, "y": y})
    triage = Triage.fit(frame.iloc[:-rows], SPEC, rows)
    assert causes(triage, frame.iloc[-rows:]) == set()


@pytest.mark.parametrize(
    ("level", "slope"),
    [(6.0, 1.0), (0.0, -1.0), (-6.0, 0.5)],
    ids=["inputs moved", "the relation turned", "both"],
)
def test_a_world_that_moved_is_let_through(triage, level, slope):
    moved = stream(1, start=14, level=level, slope=slope)
    assert causes(triage, moved, moved["y"]) == set()


def test_a_category_that_is_new_but_rare_is_let_through(triage, window):
    rng = np.random.default_rng(0)
    kind = window["kind"].where(rng.random(ROWS) > 0.1, "d")
    assert causes(triage, window.assign(kind=kind)) == set()


BROKEN = {
    "another unit": (lambda w: w.assign(heat=w["heat"] * 1.8 + 32), ("unit_change", ("heat",))),
    "a factor": (lambda w: w.assign(load=w["load"] / 1000), ("unit_change", ("load",))),
    "frozen": (lambda w: w.assign(load=w["load"].iloc[0]), ("frozen_column", ("load",))),
    "empty": (lambda w: w.assign(load=np.nan), ("frozen_column", ("load",))),
    "swapped": (
        lambda w: w.assign(heat=w["load"], load=w["heat"]),
        ("swapped_columns", ("heat", "load")),
    ),
    "a clock swapped": (
        lambda w: w.assign(hour=w["load"].round(), load=w["hour"]),
        ("swapped_columns", ("hour", "load")),
    ),
    "new codes": (
        lambda w: w.assign(kind=w["kind"].map({"a": "1", "b": "2", "c": "3"})),
        ("recoded_categories", ("kind",)),
    ),
    "text for numbers": (
        lambda w: w.assign(load=w["load"].map(lambda v: f"{v:.1f} kW")),
        ("recoded_categories", ("load",)),
    ),
    "mixed codes": (
        lambda w: w.assign(kind=w["kind"].map({"a": "c", "b": "a", "c": "b"})),
        ("recoded_categories", ("kind",)),
    ),
    "repeated": (
        lambda w: pd.concat([w, w.iloc[100:200]], ignore_index=True),
        ("duplicated_rows", ()),
    ),
    "cut off": (lambda w: w.iloc[:120], ("truncated_rows", ())),
    "a hole": (
        lambda w: w.drop(index=range(100, 220)).reset_index(drop=True),
        ("truncated_rows", ()),
    ),
    "an hour ahead": (
        lambda w: w.assign(ts=w["ts"] + pd.Timedelta(hours=3)),
        ("clock_skew", ()),
    ),
    "last month": (lambda w: w.assign(ts=w["ts"] - pd.Timedelta(days=30)), ("clock_skew", ())),
    "a column gone": (lambda w: w.drop(columns="load"), ("missing_column", ("load",))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_pipe_is_held_and_named(triage, window, name):
    corrupt, cause = BROKEN[name]
    assert cause in causes(triage, corrupt(window))


def test_flipped_labels_are_held(triage, window):
    hit = np.random.default_rng(3).random(ROWS) < 1 / 3
    flipped = window["y"].where(~hit, 1 - window["y"])
    assert ("labels_flipped", ()) in causes(triage, window, flipped)


@pytest.mark.parametrize(("slope", "most"), [(0.25, 5), (1.0, 2)])
def test_flipped_labels_are_held_where_labels_say_little_and_a_new_world_is_not(slope, most):
    triage = Triage.fit(stream(14, slope=slope), SPEC, ROWS)
    missed = []
    for number in range(14, 24):
        window = stream(1, start=number, slope=slope)
        hit = np.random.default_rng(number).random(ROWS) < 1 / 3
        if not triage.check("w", window, window["y"].where(~hit, 1 - window["y"])).held:
            missed.append(number)
        turned = stream(1, start=number, slope=-slope)
        assert not triage.check("w", turned, turned["y"]).held
        assert not triage.check("w", window, window["y"]).held
        triage = triage.after(window)
    assert len(missed) <= most


def test_flipped_labels_of_several_classes_are_held():
    spec = SPEC.model_copy(update={"task": "multiclass", "time": None})

    def three(windows, start=0):
        frame = stream(windows, start=start).drop(columns="ts")
        return frame.assign(
            y=pd.cut(frame["load"], [-999, 40, 60, 999], labels=[*"lmh"]).astype(str)
        )

    triage, window = Triage.fit(three(14), spec, ROWS), three(1, start=14)
    hit = np.random.default_rng(3).random(ROWS) < 1 / 3
    flipped = window["y"].where(~hit, window["y"].map({"l": "m", "m": "h", "h": "l"}))
    assert causes(triage, window, flipped) == {("labels_flipped", ())}
    assert causes(triage, window, window["y"]) == set()


def test_labels_that_do_not_come_are_held_once_they_are_due(triage, window):
    absent = pd.Series(None, index=window.index, dtype=object)
    assert causes(triage, window, absent) == {("labels_late", ())}
    assert causes(triage, window) == set()


def test_too_short_a_past_says_nothing(window):
    short = Triage.fit(stream(3), SPEC, ROWS)
    assert causes(short, window.assign(load=0.0)) == set()


def test_a_stream_without_a_time_is_judged_by_the_rest(window):
    spec = SPEC.model_copy(update={"time": None})
    timeless = Triage.fit(stream(14).drop(columns="ts"), spec, ROWS)
    frame = window.drop(columns="ts")
    assert causes(timeless, frame, frame["y"]) == set()
    assert causes(timeless, frame.assign(load=frame["load"] * 60)) == {("unit_change", ("load",))}


def test_requests_that_overtake_one_another_are_no_clock_that_runs_back(triage, window):
    jitter = np.random.default_rng(3).uniform(0, 50, len(window))
    frame = window.assign(ts=window["ts"] + pd.to_timedelta(jitter, unit="s"))
    assert causes(triage, frame) == set()
    order = np.arange(len(window)).reshape(-1, 2)[:, ::-1].ravel()
    assert causes(triage, window.iloc[order].reset_index(drop=True)) == set()
    early = np.where(np.arange(len(window)) % 3 == 0, -40, 0)
    frame = window.assign(ts=window["ts"] + pd.to_timedelta(early, unit="D"))
    assert ("clock_skew", ()) in causes(triage, frame)
