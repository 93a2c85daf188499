"""Leaks are found and named; lags, means of the past and strong features are not leaks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from perennial.evaluation.answers import Answers
from perennial.evaluation.decision import GateCheck, decide
from perennial.evaluation.gate import judge
from perennial.evaluation.leakage import (
    DUPLICATES,
    find_leaks,
    hardly_errs,
    leakage_check,
    strongest_of,
    too_good_check,
)
from perennial.spec import Gates

N = 3000
HELD = 200


def stream(task: str, seed: int = 0) -> pd.DataFrame:
    """A target that follows its past, and two honest features."""
    rng = np.random.default_rng(seed)
    level = np.convolve(rng.normal(size=N + 30), np.ones(31) / 31**0.5, "valid")
    y = level + 0.5 * rng.normal(size=N)
    frame = pd.DataFrame({"driver": level + rng.normal(size=N), "noise": rng.normal(size=N)})
    return frame.assign(y=y if task == "regression" else (y > 0).astype(int))


def found(frame: pd.DataFrame, task: str, **more) -> dict[str, str]:
    features = tuple(name for name in frame if name != "y")
    leaks = find_leaks(frame, features, "y", task, held=HELD, **more)
    return {leak.column: leak.kind for leak in leaks}


RNG = np.random.default_rng(1)
LEAKS = {
    "a copy": lambda y: y,
    "a straight line": lambda y: 5 - 2 * y,
    "with a little noise": lambda y: y + RNG.normal(0, 0.03, N) * y.std(),
    "in ranks": lambda y: y.rank(),
    "the next row's": lambda y: y.shift(-1).fillna(0),
    "three rows later": lambda y: y.shift(-3).fillna(0),
    "a mean around it": lambda y: y.rolling(5, center=True).mean().fillna(0),
    "a mean up to it": lambda y: y.rolling(4).mean().fillna(0),
    "smoothed up to it": lambda y: y.ewm(alpha=0.3).mean(),
    "its change": lambda y: y.diff().fillna(0),
    "its running sum": lambda y: y.cumsum(),
    "numbers handed out by it": lambda y: (y + RNG.normal(0, 1e-3, N)).rank(method="first"),
}
HONEST = {
    "the last row's": lambda y: y.shift(1).fillna(0),
    "a week ago": lambda y: y.shift(7).fillna(0),
    "a mean of the past": lambda y: y.shift(1).rolling(4).mean().fillna(0),
    "smoothed over the past": lambda y: y.shift(1).ewm(alpha=0.3).mean().fillna(0),
    "a sum of the past": lambda y: y.shift(1).cumsum().fillna(0),
    "a strong driver": lambda y: y + RNG.normal(0, 1, N) * y.std(),
    "random numbers": lambda y: RNG.permutation(N),
    "names": lambda y: [f"{i:06d}" for i in RNG.permutation(N)],
    "times as text": lambda y: pd.date_range("2030-01-01", periods=N, freq="h").astype(str),
    "a slow clock": lambda y: np.arange(N) / 7,
    "one value": lambda y: 1.0,
    "nothing": lambda y: np.nan,
}


@pytest.mark.parametrize("task", ["regression", "binary"])
@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_is_found(task: str, leak: str) -> None:
    frame = stream(task)
    assert list(found(frame.assign(leak=LEAKS[leak](frame["y"])), task)) == ["leak"]


@pytest.mark.parametrize("task", ["regression", "binary"])
@pytest.mark.parametrize("feature", HONEST)
def test_what_is_known_in_time_is_no_leak(task: str, feature: str) -> None:
    frame = stream(task)
    assert found(frame.assign(feature=HONEST[feature](frame["y"])), task) == {}


def test_the_last_truth_is_a_leak_where_it_comes_later_than_that() -> None:
    frame = stream("regression")
    late = frame.assign(last=frame["y"].shift(2).fillna(0))
    assert found(late, "regression", lag=2) == {}
    assert found(late, "regression", lag=5) == {"last": "known_later"}


@pytest.mark.parametrize("shift", [0, 1, 3])
def test_text_that_tells_the_class_now_or_later_is_found(shift: int) -> None:
    frame = stream("binary")
    words = frame["y"].map({0: "no", 1: "yes"}).shift(-shift).fillna("no")
    assert list(found(frame.assign(word=words), "binary")) == ["word"]


def test_a_column_that_is_filled_only_after_the_fact_is_found() -> None:
    frame = stream("binary")
    refund = np.where(frame["y"] == 1, np.random.default_rng(2).normal(size=N), np.nan)
    assert list(found(frame.assign(refund=refund), "binary")) == ["refund"]


def test_a_row_number_is_found_where_rows_are_sorted_by_the_target() -> None:
    frame = stream("binary").sort_values("y", ignore_index=True)
    assert found(frame.assign(row=np.arange(N)), "binary") == {"row": "identifier"}
    assert found(stream("binary").assign(row=np.arange(N)), "binary") == {}
    mixed = frame.sample(frac=1, random_state=0, ignore_index=True)
    assert found(mixed.assign(row=np.arange(N)), "binary") == {}


def test_copies_of_training_rows_among_those_held_out_are_found() -> None:
    frame = stream("regression")
    frame.iloc[-20:] = frame.iloc[:20].to_numpy()
    assert found(frame, "regression") == {DUPLICATES: "duplicates"}


def test_rows_that_coincide_because_values_are_few_are_no_copies() -> None:
    rng = np.random.default_rng(0)
    few = pd.DataFrame({name: rng.integers(0, 4, N) for name in ("a", "b", "c", "d")})
    few["y"] = (few["a"] + few["b"] + rng.integers(0, 4, N) > 4).astype(int)
    assert found(few, "binary") == {}


def test_more_classes_and_missing_values() -> None:
    frame = stream("regression")
    y = pd.cut(frame["y"], 4, labels=list("abcd")).astype(str)
    clean = frame.assign(y=y, holes=frame["noise"].where(frame["noise"] > 0))
    assert found(clean, "multiclass") == {}
    assert found(clean.assign(code=y.map(ord) * 1.5), "multiclass") == {"code": "copy"}


def test_what_is_allowed_is_recorded_and_does_not_refuse() -> None:
    frame = stream("regression").assign(told=lambda f: f["y"] * 2)
    features = ("driver", "noise", "told")
    refused = leakage_check(find_leaks(frame, features, "y", "regression", held=HELD))
    assert (refused.verdict, "'told'" in refused.detail) == ("refused", True)
    leaks = find_leaks(frame, features, "y", "regression", held=HELD, allowed=("told",))
    assert leakage_check(leaks).verdict == "overridden"


@pytest.mark.parametrize("rows", [0, 1, 50, 150])
def test_few_rows_are_no_error(rows: int) -> None:
    frame = stream("regression").iloc[:rows]
    assert find_leaks(frame, ("driver", "noise"), "y", "regression", held=min(rows, 5)) == ()


HIDDEN = {
    "a word of a name": lambda y, rng: [
        f"cust_{n}_{'yes' if v > 0 else 'no'}" for n, v in zip(rng.permutation(N), y, strict=True)
    ],
    "a word at any place": lambda y, rng: [
        " ".join(rng.permutation(["seen", f"on{n}", "late" if v > 0 else "fine"]))
        for n, v in enumerate(y)
    ],
    "a character": lambda y, rng: [
        f"{n:05d}{'x' if v > 0 else 'q'}{n % 97:02d}"
        for n, v in zip(rng.permutation(N), y, strict=True)
    ],
    "the last digits": lambda y, rng: rng.permutation(N) * 1000 + 250 * (y > 0),
    "the last digit": lambda y, rng: rng.permutation(N) * 10 + (y > 0),
    "names handed out in order": lambda y, rng: [
        f"row-{n:.0f}" for n in (y + rng.normal(0, 1e-3, N)).rank(method="first")
    ],
    "hashes of groups": lambda y, rng: [
        f"{hash((int(v * 1e6), 7)) & 0xFFFFFFFF:08x}"
        for v in np.round(y.rank(method="first") // 6 * 6)
    ],
    "a stretch of rows": lambda y, rng: np.where(np.arange(N) // 400 == 2, y, rng.permutation(y)),
    "some rows, else nothing": lambda y, rng: y.where(rng.random(N) < 0.3),
    "one class": lambda y, rng: np.where((y > 0) & (rng.random(N) < 0.4), 7.0, rng.normal(size=N)),
}


@pytest.mark.parametrize("leak", HIDDEN)
def test_a_leak_that_hides_in_a_part_is_found(leak: str) -> None:
    frame = stream("binary")
    hidden = frame.assign(leak=HIDDEN[leak](frame["y"], np.random.default_rng(3)))
    assert list(found(hidden, "binary")) == ["leak"]


NUMBERS_HIDDEN = {
    "a number in text": lambda y, rng: [f"id{n} t={v:.4f}" for n, v in enumerate(y)],
    "text": lambda y, rng: y.map("{:.6f}".format),
    "far rows": lambda y, rng: np.where(y > y.quantile(0.8), 3 * y + 1, rng.permutation(y)),
    "some rows": lambda y, rng: np.where(rng.random(N) < 0.3, y, rng.permutation(y)),
    "its exponential": lambda y, rng: np.exp(2 * y),
    "rounded": lambda y, rng: y.round(1),
    "60 rows later": lambda y, rng: y.shift(-60).fillna(0),
    "numbers of groups": lambda y, rng: rng.permutation(N)[
        (y.rank(method="first") // 6).astype(int)
    ],
}


@pytest.mark.parametrize("leak", NUMBERS_HIDDEN)
def test_a_number_that_hides_is_found(leak: str) -> None:
    frame = stream("regression")
    hidden = frame.assign(leak=NUMBERS_HIDDEN[leak](frame["y"], np.random.default_rng(3)))
    assert list(found(hidden, "regression")) == ["leak"]


PARTS = {
    "a sum": lambda y, a, b: {"b": y - a},
    "a difference of three": lambda y, a, b: {"b": b, "c": a - y + b},
    "a product": lambda y, a, b: {"b": y / a},
    "a ratio": lambda y, a, b: {"b": a / y},
    "a product and a sum": lambda y, a, b: {"b": b, "c": y - a * b},
    "a sum over one": lambda y, a, b: {"b": b, "c": y * a - b},
}


@pytest.mark.parametrize("how", PARTS)
def test_a_target_made_of_several_features_is_found(how: str) -> None:
    frame = stream("regression")
    rng = np.random.default_rng(3)
    a, b = rng.lognormal(size=N), rng.lognormal(size=N)
    parts = PARTS[how](frame["y"], a, b)
    whole = frame.assign(a=a, **parts)
    leaks = find_leaks(whole, tuple(n for n in whole if n != "y"), "y", "regression", held=HELD)
    (leak,) = leaks
    assert all(repr(name) in leak.detail for name in ("a", *parts))
    assert found(whole, "regression", allowed=("a",)) == {"a": "copy"}


@pytest.mark.parametrize("how", ["which is larger", "which agree", "a sum"])
def test_a_class_made_of_two_features_is_found(how: str) -> None:
    frame, rng = stream("binary"), np.random.default_rng(3)
    if how == "which agree":
        a = rng.integers(0, 4, N)
        two = {"a": a, "b": np.where(frame["y"] == 1, a, (a + rng.integers(1, 4, N)) % 4)}
    elif how == "a sum":
        a, c = rng.normal(size=(2, N))
        two = {"a": a, "c": c, "b": frame["y"] - a + c}
    else:
        a = 5 * rng.normal(size=N)
        two = {"a": a, "b": a + np.where(frame["y"] == 1, 1, -1) * rng.exponential(size=N)}
    assert list(found(frame.assign(**two), "binary")) == ["a"]


def test_strong_features_together_are_no_leak() -> None:
    frame, rng = stream("regression"), np.random.default_rng(3)
    y = frame["y"]
    strong = {n: y + rng.normal(0, 0.17, N) * y.std() for n in "abc"}
    assert found(frame.assign(**strong), "regression") == {}
    lags = {f"lag{k}": y.shift(k).fillna(0) for k in range(1, 7)}
    assert found(frame.assign(**lags), "regression") == {}


def test_copies_with_another_number_of_their_own_are_found() -> None:
    frame = stream("regression")
    frame.iloc[-20:] = frame.iloc[:20].to_numpy() * (1 + 1e-12)
    number = np.random.default_rng(3).permutation(N)
    assert found(frame.assign(number=number), "regression") == {DUPLICATES: "duplicates"}


@pytest.mark.parametrize("seed", range(5))
def test_a_threshold_is_found_among_few_rows_of_which_some_are_wrong(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"calls": rng.normal(size=400), "noise": rng.normal(size=400)})
    wrong = np.isin(np.arange(400), rng.choice(400, 5, replace=False))
    frame["y"] = ((frame["calls"] > 0) ^ wrong).astype(int)
    assert found(frame, "binary") == {"calls": "too_well_alone"}


@pytest.mark.parametrize("rows", [100, 400, 2_000])
def test_a_strong_threshold_with_errors_of_its_own_is_no_leak(rows: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    y = (x + 0.3 * rng.normal(size=rows) > 0).astype(int)
    assert found(pd.DataFrame({"x": x, "noise": rng.normal(size=rows), "y": y}), "binary") == {}


def test_what_was_a_copy_in_older_rows_is_found_by_all_rows() -> None:
    rows = 14_000
    rng = np.random.default_rng(0)
    y = rng.integers(0, 500, rows).astype(float)
    old = (np.arange(rows) > 4_200) & (np.arange(rows) < 8_800) & (rng.random(rows) < 0.5)
    frame = pd.DataFrame({"fine": np.where(old, y, y + rng.normal(60, 20, rows)), "y": y})
    frame["noise"] = rng.normal(size=rows)
    assert found(frame, "regression") == {"fine": "copy"}
    assert found(frame.iloc[-5_000:], "regression") == {}


def test_what_makes_up_the_target_together_is_named_whole() -> None:
    frame, rng = stream("regression"), np.random.default_rng(3)
    frame = frame.assign(a=rng.lognormal(size=N)).assign(b=lambda f: f["y"] - f["a"])
    (leak,) = find_leaks(frame, ("driver", "noise", "a", "b"), "y", "regression", held=HELD)
    assert {leak.column, *leak.others} == {"a", "b"}


def test_a_leak_in_what_the_champion_uses_says_what_would_let_the_loop_go_on() -> None:
    frame = stream("regression").assign(told=lambda f: f["y"] * 2)
    leaks = find_leaks(frame, ("driver", "told"), "y", "regression", held=HELD)
    fresh, standing = leakage_check(leaks), leakage_check(leaks, ("driver", "told"))
    assert "under ignore" in fresh.detail
    assert "champion" not in fresh.detail
    assert "the champion uses 'told' too, so no new model passes until then" in standing.detail


def checks_of(y: np.ndarray, output: np.ndarray) -> tuple[GateCheck, ...]:
    return judge(
        Answers(
            task="binary",
            metric="accuracy",
            y=y,
            candidate=output[:, None],
            champion=None,
            training_y=np.resize(y, 370),
        ),
        Gates(),
    ).checks


def test_a_model_without_an_error_is_told_of_with_the_feature_that_tells_most() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 30)
    assert hardly_errs(checks_of(y, y * 0.98 + 0.01))
    some_wrong = np.where(np.arange(30) < 2, 1 - y, y)
    assert not hardly_errs(checks_of(y, some_wrong * 0.98 + 0.01))
    rare = (np.arange(30) % 15 == 0).astype(int)
    assert not hardly_errs(checks_of(rare, rare * 0.98 + 0.01))

    frame = stream("binary")
    strongest = strongest_of(frame, ("noise", "driver"), "y", "binary")
    assert strongest is not None
    told = too_good_check(strongest)
    assert (told.verdict, "look at 'driver'" in told.detail) == ("noted", True)
    assert decide([*checks_of(y, y * 0.98 + 0.01), told], rows=30).reason.endswith(told.detail)
