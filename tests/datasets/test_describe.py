import numpy as np
import pandas as pd
import pytest
import yaml

from perennial.datasets.describe import guess_ignored, guess_task, write_pipeline_yaml
from perennial.errors import SourceError
from perennial.spec import parse_spec


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
    assert guess_task(pd.Series(values)) == task


def test_a_target_of_one_value_is_refused():
    with pytest.raises(SourceError, match="only one value"):
        guess_task(pd.Series([1, 1, 1], name="y"))


def test_columns_that_only_name_the_row_are_ignored_with_the_reason():
    frame = pd.DataFrame(
        {
            "id": range(100),
            "code": [f"order {n}" for n in range(100)],
            "when": pd.date_range("2030", periods=100),
            "x": np.random.default_rng(0).normal(size=100),
            "kind": ["a", "b"] * 50,
            "y": [0, 1] * 50,
        }
    )
    assert guess_ignored(frame, "y", None) == {
        "id": "counts the rows",
        "code": "a different text in almost every row",
        "when": "a time",
    }


def test_the_written_yaml_is_a_valid_declaration_even_with_odd_names():
    frame = pd.DataFrame({"a: b": range(100), "yes": range(100), "#t": [0, 1] * 50})
    text = write_pipeline_yaml("odd", frame, uri="my data.csv", target="#t", time="yes")
    spec = parse_spec(yaml.safe_load(text), origin="test")
    assert (spec.target, spec.time, spec.ignore) == ("#t", "yes", ("a: b",))
