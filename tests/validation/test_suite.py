import json

import numpy as np
import pandas as pd
import pytest

from perennial.errors import ValidationFailed
from perennial.packaging.signature import Feature
from perennial.spec import parse_spec
from perennial.validation import Evaluation, learn_suite, validate

FEATURES = (Feature(name="temp", kind="numeric"), Feature(name="kind", kind="categorical"))


@pytest.fixture(scope="module")
def reference():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "temp": rng.normal(20, 5, 400),
            "kind": rng.choice(["a", "b"], 400),
            "y": rng.choice(["no", "yes"], 400),
        }
    )


@pytest.fixture(scope="module")
def suite(reference):
    spec = parse_spec(
        {"name": "p", "task": "binary", "source": {"uri": "a.csv"}, "target": "y"}, origin="test"
    )
    return learn_suite(reference, FEATURES, spec)


def held(frame, suite):
    return {(f.column, f.rule) for f in validate(frame, suite).held}


def test_the_reference_keeps_its_own_rules(reference, suite):
    report = validate(reference, suite)
    assert report.findings == ()
    assert report.rules == len(suite["expectations"])


def test_a_suite_comes_back_from_its_json(reference, suite):
    assert validate(reference, json.loads(json.dumps(suite))).findings == ()


def test_a_world_that_moved_is_not_held(reference, suite):
    moved = reference.assign(temp=reference["temp"] + 10, kind="c")
    assert held(moved, suite) == set()


def test_rows_far_out_go_aside_and_too_many_of_them_hold_all(reference, suite):
    few = reference.assign(
        temp=reference["temp"].where(reference.index >= 4, 99_999.0 + reference.index)
    )
    report = validate(few, suite, share=0.05)
    assert [(f.column, f.severity, f.refused) for f in report.findings] == [
        ("temp", "quarantine", 4)
    ]
    assert report.refused == 4
    assert report.held == ()
    assert validate(few, suite, share=0.005).held == report.findings
    assert validate(reference.assign(temp=reference["temp"] * 1000), suite, share=0.05).held


def test_a_label_far_beyond_what_was_learned_goes_aside_and_a_world_that_moved_does_not(reference):
    spec = parse_spec(
        {"name": "p", "task": "regression", "source": {"uri": "a.csv"}, "target": "y"},
        origin="test",
    )
    amounts = reference.assign(y=reference["temp"] * 3)
    suite = learn_suite(amounts, FEATURES, spec)
    few = amounts.assign(y=amounts["y"].where(amounts.index >= 4, 1e6 + amounts.index))
    report = validate(few, suite, share=0.05)
    assert [(f.column, f.severity, f.refused) for f in report.findings] == [("y", "quarantine", 4)]
    for moved in (amounts["y"] * 5, amounts["y"] + 500, -amounts["y"]):
        assert validate(amounts.assign(y=moved), suite, share=0.05).findings == ()


def test_copies_of_a_row_go_aside_and_the_first_stays(reference, suite):
    again = pd.concat([reference, reference.iloc[:3]], ignore_index=True)
    evaluation = Evaluation(suite, share=0.05)
    assert list(np.flatnonzero(evaluation.add(again) >= 0)) == [400, 401, 402]


def test_numbers_that_came_as_text_hold_the_rows(reference, suite):
    as_text = reference.assign(temp=reference["temp"].astype(str))
    assert ("temp", "expect_column_values_to_be_in_type_list") in held(as_text, suite)


def test_a_relation_between_columns_is_learned_and_its_breach_is_told():
    rng = np.random.default_rng(1)
    low = rng.normal(20, 5, 400)
    frame = pd.DataFrame({"low": low, "high": low + rng.exponential(2, 400), "y": low})
    spec = parse_spec(
        {"name": "p", "task": "regression", "source": {"uri": "a.csv"}, "target": "y"},
        origin="test",
    )
    features = (Feature(name="low", kind="numeric"), Feature(name="high", kind="numeric"))
    suite = learn_suite(frame, features, spec)
    turned = frame.rename(columns={"low": "high", "high": "low"})
    broken = [f.column for f in validate(turned, suite).findings]
    assert broken == ["high, low"]


def test_a_column_that_grows_for_ever_is_not_set_aside():
    frame = pd.DataFrame({"day": np.arange(400.0), "y": np.arange(400.0) % 7})
    spec = parse_spec(
        {"name": "p", "task": "regression", "source": {"uri": "a.csv"}, "target": "y"},
        origin="test",
    )
    suite = learn_suite(frame, (Feature(name="day", kind="numeric"),), spec)
    later = validate(frame.assign(day=frame["day"] + 9000), suite)
    assert (later.refused, later.held) == (0, ())


def test_a_missing_column_holds_the_rows(reference, suite):
    assert ("temp", "expect_column_to_exist") in held(reference.drop(columns="temp"), suite)


def test_a_target_without_values_holds_the_rows(reference, suite):
    assert ("y", "expect_column_values_to_not_be_null") in held(reference.assign(y=None), suite)


def test_a_target_of_one_class_holds_the_rows(reference, suite):
    rule = "expect_column_unique_value_count_to_be_between"
    assert ("y", rule) in held(reference.assign(y="no"), suite)


def test_a_severity_that_a_person_changed_counts(reference, suite):
    stricter = json.loads(json.dumps(suite))
    for rule in stricter["expectations"]:
        if rule["type"] == "expect_column_values_to_be_between":
            rule["meta"]["severity"] = "hold"
    assert held(reference.assign(temp=reference["temp"] + 9999), stricter) == {
        ("temp", "expect_column_values_to_be_between")
    }


def test_a_rule_that_judges_no_rows_cannot_set_any_aside(reference):
    rule = {
        "type": "expect_table_row_count_to_be_between",
        "kwargs": {"min_value": 1},
        "meta": {"severity": "quarantine"},
    }
    with pytest.raises(ValidationFailed, match=r"expectations\[0\].meta.severity: .* write hold"):
        validate(reference, {"name": "p", "expectations": [rule]})


def test_an_unknown_severity_is_refused_with_its_place(reference):
    rule = {"type": "expect_column_to_exist", "kwargs": {"column": "y"}, "meta": {"severity": "no"}}
    with pytest.raises(
        ValidationFailed, match=r"expectations\[0\].meta.severity: 'no' stood there"
    ):
        validate(reference, {"name": "p", "expectations": [rule]})


def test_a_rule_that_only_great_expectations_knows_is_judged_by_it(reference):
    rule = {
        "type": "expect_column_median_to_be_between",
        "kwargs": {"column": "temp", "max_value": 0},
        "meta": {"severity": "hold"},
    }
    suite = {"name": "p", "expectations": [rule]}
    assert held(reference, suite) == {("temp", "expect_column_median_to_be_between")}


@pytest.mark.parametrize("broken", [{}, {"name": "x"}, {"name": "x", "expectations": [{"a": 1}]}])
def test_a_suite_that_is_none_is_refused_in_one_line(reference, broken):
    with pytest.raises(ValidationFailed) as caught:
        validate(reference, broken)
    assert "\n" not in str(caught.value)
