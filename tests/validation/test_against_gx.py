"""Our verdicts are Great Expectations' own, whole and batch by batch, on frames of every kind."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perennial.validation import Evaluation
from perennial.validation.files import validate_parquet
from perennial.validation.foreign import gx_results
from perennial.validation.row_rules import hash_rows
from perennial.validation.rules import read_rules

NUMBERS = st.one_of(st.none(), st.integers(-3, 3).map(float), st.floats(-5, 5, width=32))
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "b", "bb", "c1", ""]))
MIXED = st.one_of(st.none(), st.integers(-2, 2), st.sampled_from(["a", "b"]))
TIMES = st.one_of(
    st.none(), st.integers(0, 5).map(lambda d: pd.Timestamp("2030-01-01") + pd.Timedelta(days=d))
)
MOSTLY = st.sampled_from([1.0, 0.9, 0.75, 0.5, 0.0])


@st.composite
def frames(draw):
    rows = draw(st.integers(1, 12))

    def column(values, dtype):
        return pd.Series(draw(st.lists(values, min_size=rows, max_size=rows)), dtype=dtype)

    return pd.DataFrame(
        {
            "n": column(NUMBERS, float),
            "m": column(NUMBERS, float),
            "i": column(st.integers(-3, 3), "int64"),
            "s": column(TEXTS, object),
            "o": column(MIXED, object),
            "t": column(TIMES, "datetime64[ns]"),
        }
    )


def rule(kind, **kwargs):
    return {"type": kind, "kwargs": kwargs, "meta": {}}


@st.composite
def suites(draw):
    low, high = sorted(draw(st.tuples(st.integers(-3, 3), st.integers(-3, 3))))
    bounds = {"min_value": low, "max_value": high}
    mostly, strict = draw(MOSTLY), draw(st.booleans())
    counts = {"min_value": draw(st.integers(0, 3)), "max_value": draw(st.integers(3, 8))}
    shares = {"min_value": draw(st.sampled_from([0.0, 0.5, 1.0]))}
    days = [
        f"2030-01-0{n}T00:00:00"
        for n in sorted(draw(st.tuples(st.integers(1, 6), st.integers(1, 6))))
    ]
    every = ["n", "i", "s", "t"]
    rules = [
        *(rule("expect_column_values_to_not_be_null", column=c, mostly=mostly) for c in every),
        rule("expect_column_values_to_be_null", column="s", mostly=mostly),
        *(
            rule(
                "expect_column_values_to_be_between",
                column=c,
                **bounds,
                mostly=mostly,
                strict_max=strict,
            )
            for c in ("n", "i", "s", "o")
        ),
        rule(
            "expect_column_values_to_be_between",
            column="t",
            min_value=days[0],
            max_value=days[1],
            mostly=mostly,
        ),
        rule("expect_column_values_to_be_in_set", column="s", value_set=["a", "bb"], mostly=mostly),
        rule("expect_column_values_to_be_in_set", column="i", value_set=[low, high], mostly=mostly),
        rule(
            "expect_column_values_to_not_be_in_set", column="o", value_set=["a", 1], mostly=mostly
        ),
        *(rule("expect_column_values_to_be_unique", column=c, mostly=mostly) for c in every),
        rule("expect_compound_columns_to_be_unique", column_list=["s", "i"], mostly=mostly),
        rule("expect_column_value_lengths_to_be_between", column="s", **counts, mostly=mostly),
        rule("expect_column_values_to_match_regex", column="s", regex="^[ab]", mostly=mostly),
        rule(
            "expect_column_pair_values_a_to_be_greater_than_b",
            column_A="n",
            column_B="m",
            or_equal=strict,
            mostly=mostly,
        ),
        rule("expect_column_pair_values_to_be_equal", column_A="n", column_B="i", mostly=mostly),
        *(
            rule("expect_column_values_to_be_increasing", column=c, strictly=strict, mostly=mostly)
            for c in ("n", "t")
        ),
        *(
            rule(
                "expect_column_values_to_be_in_type_list",
                column=c,
                type_list=["int64", "str"],
                mostly=mostly,
            )
            for c in ("n", "i", "s", "o")
        ),
        rule("expect_column_values_to_be_of_type", column="n", type_="float64"),
        rule("expect_table_row_count_to_be_between", **counts),
        rule("expect_table_row_count_to_equal", value=3),
        *(
            rule("expect_column_unique_value_count_to_be_between", column=c, **counts)
            for c in every
        ),
        rule("expect_column_proportion_of_unique_values_to_be_between", column="s", **shares),
        rule("expect_column_proportion_of_non_null_values_to_be_between", column="n", **shares),
        *(
            rule(f"expect_column_{figure}_to_be_between", column="i", **bounds)
            for figure in ("min", "max", "mean", "sum", "stdev")
        ),
        rule("expect_column_mean_to_be_between", column="n", **bounds),
        rule("expect_column_to_exist", column="n"),
        rule("expect_column_to_exist", column="absent"),
        rule("expect_column_values_to_not_be_null", column="absent"),
    ]
    return {"name": "p", "expectations": rules}


def verdicts(evaluation, frame):
    broken = evaluation.report(lambda columns: frame if columns is None else frame[columns])
    return [(f.rule, f.column) for f in broken.findings]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=frames(), suite=suites(), cut=st.integers(0, 12))
def test_verdicts_are_those_of_great_expectations_whole_or_in_batches(frame, suite, cut):
    rules = read_rules(suite)
    results = gx_results(frame, "p", list(rules))
    theirs = [
        (r.type, ", ".join(r.columns) or None)
        for r, result in zip(rules, results, strict=True)
        if not result.success
    ]
    whole, parts = Evaluation(suite, share=0), Evaluation(suite, share=0)
    assert len(whole.rules) == len(whole._tallies), "a rule was left to Great Expectations"
    whole.add(frame)
    for part in (frame.iloc[:cut], frame.iloc[cut:]):
        if len(part):
            parts.add(part)
    assert verdicts(whole, frame) == theirs
    assert verdicts(parts, frame) == theirs


def test_a_folder_is_judged_in_batches_as_the_frame_is(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "i": [*rng.integers(0, 50, 999), None],
            "id": np.arange(1000) % 990,
            "s": rng.choice(["a", "b", None], 1000),
        }
    )
    for number in range(4):
        part = frame.iloc[250 * number : 250 * (number + 1)]
        part.astype({"i": "Int64"}).to_parquet(tmp_path / f"part-{number}.parquet")
    suite = {
        "name": "p",
        "expectations": [
            rule("expect_column_values_to_be_of_type", column="i", type_="float64"),
            rule("expect_column_values_to_be_unique", column="id", mostly=0.985),
            rule("expect_column_median_to_be_between", column="i", min_value=90),
            rule("expect_column_values_to_be_in_set", column="s", value_set=["a"], mostly=0.4),
            rule("expect_column_mean_to_be_between", column="i", min_value=20, max_value=30),
        ],
    }
    whole = Evaluation(suite, share=0)
    whole.add(frame)
    expected = whole.report(lambda columns: frame if columns is None else frame[columns])
    found = validate_parquet(tmp_path, suite, batch_rows=64)
    assert [f.rule for f in found.findings] == [f.rule for f in expected.findings]
    assert {f.rule for f in found.findings} == {
        "expect_column_values_to_be_unique",
        "expect_column_median_to_be_between",
    }


def test_zero_is_one_value_whatever_its_sign():
    first, second = hash_rows(pd.DataFrame({"n": [0.0, -0.0]}))
    assert first == second


def test_a_text_has_one_hash_however_it_is_held():
    hashes = [
        hash_rows(pd.DataFrame({"c": pd.Series(["a", None, "b"], dtype=kind)})).tolist()
        for kind in (object, "str", "string")
    ]
    assert hashes[0] == hashes[1] == hashes[2]
