from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perennial.errors import SpecError
from perennial.spec import (
    Labels,
    PipelineSpec,
    Span,
    format_duration,
    load_spec,
    parse_duration,
    parse_spec,
)

LEAST = {"name": "bike", "task": "regression", "source": {"uri": "a.csv"}, "target": "cnt"}


def refusal(**changes):
    with pytest.raises(SpecError) as caught:
        parse_spec({**LEAST, **changes}, origin="pipeline.yaml")
    return str(caught.value)


def test_name_task_source_and_target_are_enough():
    spec = parse_spec(LEAST, origin="pipeline.yaml")
    assert spec.metric == "rmse"
    assert spec.monitor.window == Span(rows=1000)


@pytest.mark.parametrize(
    ("task", "metric"), [("regression", "rmse"), ("binary", "auc"), ("multiclass", "accuracy")]
)
def test_the_metric_follows_the_task(task, metric):
    assert parse_spec({**LEAST, "task": task}, origin="x").metric == metric


def test_an_unknown_key_is_named_with_the_likely_one():
    assert refusal(taget="x") == "pipeline.yaml: taget: unknown key; did you mean target?"


def test_an_unknown_key_in_a_section_is_named_with_its_path():
    message = refusal(monitor={"windw": 3})
    assert message == "pipeline.yaml: monitor.windw: unknown key; did you mean window?"


def test_a_missing_key_is_named():
    with pytest.raises(SpecError, match=r"target: is missing"):
        parse_spec({k: v for k, v in LEAST.items() if k != "target"}, origin="x")


def test_a_wrong_value_is_shown_with_what_may_stand_there():
    message = refusal(task="clustering")
    assert "task: 'clustering' stood there" in message
    assert "'regression', 'binary' or 'multiclass'" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ignore": "x"}, "ignore: 'x' stood there; write a list, such as [a, b]"),
        ({"source": "a.csv"}, "source: 'a.csv' stood there; write a mapping of keys, such as"),
        ({"monitor": None}, "monitor: null stood there; write a mapping of keys"),
        ({"rollout": {"shadow": 3}}, "rollout.shadow: 3 stood there; write a mapping of keys"),
        ({"target": 3}, "target: 3 stood there; write text, in quotes"),
        ({"name": "Bike X"}, "name: 'Bike X' stood there; write lower-case letters, digits"),
        ({"policy": {"p_value": 3}}, "policy.p_value: 3 stood there; write a number less than 1"),
        ({"policy": {"persistence": 1.5}}, "1.5 stood there; write a whole number"),
        ({"model": {"estimators": []}}, "model.estimators: [] stood there; write a list of one"),
    ],
)
def test_what_is_of_the_wrong_kind_is_told_in_the_words_of_yaml(changes, said):
    message = refusal(**changes)
    assert said in message
    for python in ("tuple", "dictionary", "instance of", "None", "NoneType", "pattern"):
        assert python not in message


def test_of_a_list_with_a_wrong_element_that_element_alone_is_told():
    assert refusal(model={"estimators": ["xgb"]}).count("stood there") == 1


@pytest.mark.parametrize("text", ["- a", "", "bike"])
def test_a_file_that_is_no_mapping_is_told_in_the_same_words(text, tmp_path):
    (tmp_path / "pipeline.yaml").write_text(text)
    with pytest.raises(SpecError, match="stood there; write a mapping of keys"):
        load_spec(tmp_path)


@pytest.mark.parametrize(
    "bad", ["every hour", "61 * * * *", "0 0 30 2 *", "@daily", "* * * * * *", "H * * * *", ""]
)
def test_a_schedule_that_is_none_is_refused_with_the_declaration(bad):
    message = refusal(monitor={"schedule": bad})
    assert f"monitor.schedule: {bad!r} stood there" in message
    assert "write cron's five fields, such as '0 * * * *'" in message


def test_a_metric_of_another_task_is_refused():
    assert "auc does not fit task regression; one of rmse, mae" in refusal(metric="auc")


def test_the_target_cannot_be_the_time_or_ignored():
    assert "time: 'cnt' is the target" in refusal(time="cnt")
    assert "ignore: 'cnt' is the target" in refusal(ignore=["cnt"])


def test_a_window_below_twenty_rows_is_refused():
    assert "at least 20 rows" in refusal(monitor={"window": "3 rows"})


@pytest.mark.parametrize("bad", ["abc", "5 parsecs", -4, True, "rows"])
def test_a_span_that_is_none_is_refused(bad):
    assert "write a number of rows" in refusal(labels={"delay": bad}) or "negative" in refusal(
        labels={"delay": bad}
    )


def test_all_faults_are_told_at_once():
    message = refusal(taget="x", policy={"p_value": 3})
    assert "taget" in message
    assert "policy.p_value" in message


def test_yaml_that_is_none_is_one_line(tmp_path):
    file = tmp_path / "pipeline.yaml"
    file.write_text("a: [1,\nb: }")
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_what_writes_one(tmp_path):
    with pytest.raises(SpecError, match="perennial init"):
        load_spec(tmp_path)


@given(st.integers(0, 10**7))
def test_durations_come_back(seconds):
    span = timedelta(seconds=seconds)
    assert parse_duration(format_duration(span)) == span


@given(st.integers(0, 10**9))
def test_a_span_of_rows_comes_back(rows):
    labels = Labels(delay=f"{rows} rows")
    assert Labels.model_validate_json(labels.model_dump_json()) == labels


def test_a_spec_comes_back_from_its_json():
    spec = parse_spec({**LEAST, "monitor": {"window": "7d"}}, origin="x")
    assert PipelineSpec.model_validate_json(spec.model_dump_json()) == spec


def test_stages_of_a_rollout_have_defaults_and_can_be_left_out():
    assert parse_spec(LEAST, origin="x").rollout.canary.weights == (0.1, 0.5)
    stages = {"shadow": None, "canary": {"rows": 50}, "bake": None}
    rollout = parse_spec({**LEAST, "rollout": stages}, origin="x").rollout
    assert (rollout.shadow, rollout.bake, rollout.canary.rows) == (None, None, 50)


def test_weights_of_a_canary_have_to_grow():
    said = refusal(rollout={"canary": {"weights": [0.5, 0.1]}})
    assert "rollout.canary.weights: each share must be larger than the one before it" in said


def test_an_unknown_key_of_a_stage_is_named_with_the_likely_one():
    assert "did you mean rows?" in refusal(rollout={"bake": {"row": 5}})
