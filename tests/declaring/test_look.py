"""What `init` sees of a table, column by column."""

from __future__ import annotations

import uuid

import numpy as np
import pandas as pd
import pytest

from perennial.declaring import Look, look_at
from perennial.declaring.target import guess_task
from perennial.errors import SourceError

N = 400


def table(seed: int = 0, rows: int = N) -> pd.DataFrame:
    """Two honest features and a class that they tell in part."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"age": rng.integers(18, 80, rows), "plan": rng.choice(["basic", "pro"], rows)}
    )
    score = (frame["age"] > 40) + (frame["plan"] == "pro") + rng.normal(size=rows)
    return frame.assign(churned=(score > 1).astype(int))


def seen(frame: pd.DataFrame, **given: object) -> Look:
    return look_at(frame, target="churned", **given)  # type: ignore[arg-type]


def roles(look: Look) -> dict[str, str]:
    return {sight.name: sight.role for sight in look.columns}


def why(look: Look, name: str) -> str:
    return next(sight.why for sight in look.columns if sight.name == name)


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (np.linspace(0, 1, 500), "regression"),
        (np.arange(500), "regression"),
        ([0, 1] * 250, "binary"),
        ([1.0, 0.0, None] * 200, "binary"),
        (["yes", "no"] * 250, "binary"),
        ([True, False] * 250, "binary"),
        (["a", "b", "c"] * 200, "multiclass"),
        ([1, 2, 3] * 200, "multiclass"),
    ],
)
def test_the_task_is_guessed_from_the_target(values, task):
    assert guess_task(pd.Series(values))[0] == task


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, 1, 1], "only one value"),
        ([*[f"{n / 7:.2f}" for n in range(90)], *["broken"] * 10], "'broken'"),
        ([f"text {n}" for n in range(100)], "100 different texts"),
    ],
)
def test_a_target_of_which_nothing_can_be_learned_is_refused(values, said):
    with pytest.raises(SourceError, match=said):
        guess_task(pd.Series(values, name="y"))


RNG = np.random.default_rng(1)
NAMES = {
    "customer_id": RNG.choice(np.arange(10_000, 99_999), N, replace=False),
    "row": np.arange(N),
    "number": RNG.choice(np.arange(10_000, 99_999), N, replace=False),
    "orderNr": [f"o-{n % 300}" for n in range(N)],
    "code": [f"{n:x}" for n in RNG.integers(0, 2**60, N)],
    "session": [str(uuid.UUID(int=int(n))) for n in RNG.integers(1, 2**62, N)],
}


@pytest.mark.parametrize("name", NAMES)
def test_what_names_rows_is_no_feature(name):
    assert roles(seen(table().assign(**{name: NAMES[name]})))[name] == "ignored"


@pytest.mark.parametrize(
    "values",
    [
        RNG.normal(size=N),
        np.arange(N) / 7,
        np.round(RNG.lognormal(10, 0.5, N)),
        RNG.integers(0, 300, N),
        RNG.choice([f"shop {n}" for n in range(80)], N),
    ],
    ids=["fractions", "a slow clock", "whole amounts", "whole numbers that repeat", "many levels"],
)
def test_what_was_measured_is_a_feature(values):
    assert roles(seen(table().assign(measured=values)))["measured"] == "feature"


USELESS = {
    "no value": (None, "no value in any row"),
    "one value": ("x", "x in every row"),
    "months": ([f"{2020 + n // 96}-Q{1 + n // 24 % 4}" for n in range(N)], "do not come back"),
    "lists": ([[1, 2]] * N, "holds lists"),
}


@pytest.mark.parametrize("kind", USELESS)
def test_what_tells_nothing_is_ignored_with_the_reason(kind):
    values, said = USELESS[kind]
    look = seen(table().assign(extra=values))
    assert roles(look)["extra"] == "ignored"
    assert said in why(look, "extra")


def test_a_column_with_a_name_of_the_log_is_ignored_and_cannot_be_the_target():
    frame = table().assign(_id=range(N))
    assert "rename" in why(seen(frame), "_id")
    with pytest.raises(SourceError, match="'_id' is a name of the log's own"):
        look_at(frame, target="_id")


def test_the_second_of_two_columns_that_are_the_same_is_ignored():
    look = seen(table().assign(years=lambda f: f["age"].astype(float)))
    assert (roles(look)["age"], why(look, "years")) == ("feature", "the same as age")


def test_a_copy_of_the_target_is_ignored_however_short_the_table():
    look = seen(table(rows=60).assign(left=lambda f: f["churned"]))
    assert why(look, "left") == "the same as the target"


def test_copies_of_rows_and_missing_labels_and_rare_classes_are_told_of():
    frame = table()
    frame = pd.concat([frame, frame.iloc[:3]], ignore_index=True)
    frame = frame.assign(
        churned=frame["churned"].map({0: "no", 1: "yes"}), x=RNG.normal(size=N + 3)
    )
    frame["x"] = [*frame["x"][:N], *frame["x"][:3]]
    frame.loc[5:7, "churned"] = "who knows"
    frame.loc[10, "churned"] = None
    notes = "; ".join(seen(frame).notes)
    assert "3 rows are copies" in notes
    assert "1 rows (0.2%) have no churned" in notes
    assert "who knows (3 rows)" in notes


HOURS = pd.Series(pd.date_range("2030-01-01", periods=N, freq="h"))


@pytest.mark.parametrize(
    ("values", "format"),
    [
        (HOURS.dt.strftime("%Y-%m-%d %H:%M:%S"), "iso"),
        (HOURS.dt.strftime("%d.%m.%Y %H:%M"), "%d.%m.%Y %H:%M"),
        ((HOURS - pd.Timestamp(0)).dt.total_seconds().astype(int), "seconds"),
        (HOURS, "iso"),
    ],
)
def test_the_time_is_found_by_itself(values, format):
    look = seen(table().assign(ts=values))
    assert (look.time, look.time_format, roles(look)["ts"]) == ("ts", format, "time")


def test_of_two_columns_of_times_the_one_that_ascends_is_the_time():
    signed = HOURS.sample(frac=1, random_state=0).to_numpy()
    look = seen(table().assign(signed_up=signed, asked=HOURS))
    assert (look.time, roles(look)["signed_up"]) == ("asked", "ignored")


def test_a_column_that_can_be_read_in_two_ways_is_no_time_until_somebody_says_which():
    days = RNG.integers(1, 13, (N, 2))
    frame = table().assign(day=[f"{a:02d}/{b:02d}/2030" for a, b in days])
    look = seen(frame)
    assert (look.time, "two ways" in why(look, "day")) == (None, True)
    assert any("--time day" in note for note in look.notes)
    with pytest.raises(SourceError, match="two ways"):
        seen(frame, time="day")
    assert seen(frame, time="day", time_format="%d/%m/%Y").time_format == "%d/%m/%Y"


def test_a_column_that_tells_too_much_is_named_and_stays_for_a_person_to_decide():
    frame = table().assign(x=RNG.normal(size=N))
    wrong = np.isin(np.arange(N), RNG.choice(N, 5, replace=False))
    look = seen(frame.assign(churned=(frame["x"] > 0) ^ wrong))
    assert roles(look)["x"] == "suspected"
    assert "'x' alone tells 9" in why(look, "x")


def test_a_line_in_the_target_is_certain_and_ignored():
    frame = table().assign(y=RNG.normal(size=N))
    look = look_at(frame.assign(cents=lambda f: 100 * f["y"] + 3), target="y")
    assert roles(look)["cents"] == "ignored"


def test_a_table_without_a_feature_is_refused_with_the_reasons():
    with pytest.raises(SourceError, match="'row': counts the rows"):
        seen(table()[["churned"]].assign(row=range(N)))


@pytest.mark.parametrize("column", ["churned", "when"])
def test_a_column_that_is_not_there_is_named_beside_those_that_are(column):
    with pytest.raises(SourceError, match=f"no column '{column}'.*age, plan"):
        look_at(table().drop(columns="churned", errors="ignore"), target=column)
