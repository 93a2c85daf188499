import json

import numpy as np
import pandas as pd
import pytest

from perennial.errors import ValidationFailed
from perennial.packaging.signature import Feature
from perennial.spec import parse_spec
from perennial.validation import learn_suite, validate

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


def test_a_change_of_unit_is_warned_of(reference, suite):
    report = validate(reference.assign(temp=reference["temp"] * 100), suite)
    assert [(f.column, f.severity) for f in report.findings] == [("temp", "warn")]
    assert "% of the rows" in report.findings[0].observed


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
    assert held(reference.assign(temp=9999.0), stricter) == {
        ("temp", "expect_column_values_to_be_between")
    }


@pytest.mark.parametrize("broken", [{}, {"name": "x"}, {"name": "x", "expectations": [{"a": 1}]}])
def test_a_suite_that_is_none_is_refused_in_one_line(reference, broken):
    with pytest.raises(ValidationFailed) as caught:
        validate(reference, broken)
    assert "\n" not in str(caught.value)
