"""What a person writes beside pipeline.yaml: read by every run, written by none."""

import json

import pytest

from flows.monitor import monitor
from flows.retrain import retrain
from flows.validate import validate
from perennial.registry import declare, list_versions
from perennial.store import layout
from perennial.validation.suites import find_learned, need_suite
from tests.flows.conftest import edit_suite, frame
from tests.flows.test_flows import run, trained
from tests.flows.test_validation import checks, noisy


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def at_most(high):
    def change(rule):
        if rule["kwargs"].get("column") == "x" and "max_value" in rule["kwargs"]:
            rule["kwargs"]["max_value"] = high
            rule["meta"]["severity"] = "hold"

    return change


def test_a_training_leaves_the_folder_as_it_was(connected, pipeline):
    folder = pipeline(frame())
    before = contents(folder)
    assert run(retrain, pipeline="line").name == "Registered"
    assert contents(folder) == before
    assert find_learned(connected, "line")["meta"]["learned_from_rows"] == 400


def test_an_edit_is_read_at_once_by_monitor_retrain_and_validate(connected, pipeline):
    folder = pipeline(noisy(600, seed=0))
    trained(pipeline, noisy(600, seed=0))
    edit_suite(connected, folder, at_most(-50.0))
    written = contents(folder)["expectations.json"]
    pipeline(noisy(650, seed=0))
    assert run(validate, pipeline="line").name == "Would be held"
    assert run(monitor, pipeline="line").name == "Held"
    assert run(retrain, pipeline="line").name == "Held"
    assert contents(folder)["expectations.json"] == written
    assert connected.get(layout.edits("line")).data == written


def test_a_file_that_is_no_suite_fails_who_asked_and_stops_nothing_of_the_loop(connected, pipeline):
    folder = pipeline(noisy(600, seed=0))
    trained(pipeline, noisy(600, seed=0))
    edit_suite(connected, folder, at_most(1e9))
    assert run(validate, pipeline="line").name == "Sound"
    (folder / "expectations.json").write_text('{"name":\n oops')
    fault = f"{folder / 'expectations.json'} is no JSON: Expecting value: line 2 column 2 (char 10)"

    for flow in (validate, retrain):
        state = run(flow, pipeline="line")
        assert (state.type.value, state.message) == ("FAILED", fault)

    pipeline(noisy(650, seed=0))
    state = run(monitor, pipeline="line")
    assert state.type.value in ("COMPLETED", "CANCELLED")
    assert state.message.endswith(f"{fault}: the rules before it are in force")
    (check,) = checks(connected)
    assert check["suite_fault"] == fault
    kept = json.loads(connected.get(layout.edits("line")).data)
    assert 1e9 in [rule["kwargs"].get("max_value") for rule in kept["expectations"]]

    caused = layout.check("line", "w000001")
    assert run(retrain, pipeline="line", cause=caused).type.value in ("COMPLETED", "CANCELLED")
    assert len(list_versions(connected, "line")) >= 1


def test_a_file_that_a_person_takes_away_holds_no_longer(connected, pipeline):
    folder = pipeline(frame())
    trained(pipeline)
    edit_suite(connected, folder, at_most(-50.0))
    assert run(validate, pipeline="line").name == "Would be held"
    (folder / "expectations.json").unlink()
    assert run(validate, pipeline="line").name == "Sound"
    assert connected.find(layout.edits("line")) is None
    assert "learned" in need_suite(connected, declare(connected, folder))["meta"]


def test_the_source_is_judged_as_the_retrain_judges_it(connected, pipeline):
    data = frame(400)
    data.loc[:40, "y"] = None
    pipeline(data)
    assert run(retrain, pipeline="line").name == "Registered"
    state = run(validate, pipeline="line")
    assert state.name == "Sound"
    assert state.message.startswith("359 rows (41 without a label left out), ")


@pytest.mark.parametrize("name", ["in/a.csv", "in/a.csv.gz"])
def test_a_csv_in_the_store_is_held_against_the_expectations(connected, pipeline, name, tmp_path):
    pipeline(frame(400))
    run(retrain, pipeline="line")
    file = tmp_path / name.rsplit("/", 1)[-1]
    frame(200, seed=5).assign(x=1e6).to_csv(file, index=False)
    connected.put(name, file.read_bytes())
    state = run(validate, pipeline="line", data=name)
    assert state.name == "Would be held"
    assert state.message.startswith("200 rows, ")
