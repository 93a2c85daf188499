"""Expectations mean one thing: what was learned, and a person's file over it."""

import json

import pytest

from perennial.errors import SpecError, ValidationFailed
from perennial.registry import declare
from perennial.store import layout
from perennial.validation.suites import find_learned, keep_edits, keep_learned
from tests.cli.conftest import rows


def range_of(column, severity, **bounds):
    kwargs = {"column": column, **bounds}
    return {
        "type": "expect_column_values_to_be_between",
        "kwargs": kwargs,
        "meta": {"severity": severity},
    }


def write(folder, *rules):
    suite = {"name": "bike", "expectations": list(rules)}
    (folder / "expectations.json").write_text(json.dumps(suite))


@pytest.fixture
def table(here):
    file = here / "rows.parquet"
    rows(200).to_parquet(file)
    return file


def test_an_edit_beside_pipeline_yaml_holds_at_once(learned, table, run):
    assert "0 broken" in run("validate", "bike", table).output
    write(learned, range_of("temp", "hold", max_value=25))
    told = run("validate", "bike", table, code=1).output
    assert "hold: temp: expect_column_values_to_be_between is broken" in told


def test_a_few_rules_of_a_person_stand_beside_what_was_learned(learned, run):
    write(learned, range_of("temp", "warn", max_value=25))
    found = json.loads(run("expectations", "bike", "--json").output)
    origins = {
        (rule["type"], rule["kwargs"].get("column")): rule["origin"]
        for rule in found["expectations"]
    }
    assert origins["expect_column_values_to_be_between", "temp"] == "by hand"
    assert origins["expect_column_to_exist", "weather"] == "learned"
    assert found["deleted"] == []


def test_what_was_edited_and_deleted_is_told_from_what_is_learned_anew(learned, store, run):
    assert "rules." in run("expectations", "bike", "--write").output
    file = learned / "expectations.json"
    suite = json.loads(file.read_text())
    (temp,) = [
        r
        for r in suite["expectations"]
        if r["kwargs"].get("column") == "temp" and "max_value" in r["kwargs"]
    ]
    temp["kwargs"]["max_value"] = 40
    suite["expectations"] = [
        r for r in suite["expectations"] if r["type"] != "expect_column_values_to_be_in_set"
    ]
    file.write_text(json.dumps(suite))
    fresh = find_learned(store, "bike")
    fresh["expectations"][0]["kwargs"]["min_value"] = 77
    keep_learned(store, "bike", fresh)

    found = json.loads(run("expectations", "data/bike", "--json").output)
    assert found["deleted"] == ["expect_column_values_to_be_in_set(weather)"]
    by_origin = {rule["origin"]: rule["kwargs"] for rule in found["expectations"]}
    assert by_origin["edited"]["max_value"] == 40
    assert found["expectations"][0]["kwargs"] == {"min_value": 77}
    text = run("expectations", "bike").output
    assert "max_value 40 [edited]" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "bike",\n oops', r"expectations.json is no JSON: .*line 2 column 2"),
        ("[1]", r"expectations.json is no valid suite: an object with 'name'"),
        ("[" * 100_000, r"expectations.json is no suite: it is nested too deep"),
        (
            json.dumps({"name": "b", "expectations": [range_of("temp", "hold", mostly=2)]}),
            r"expectations.json: expectations\[0\].kwargs.mostly: 2 stood there; write a share",
        ),
        (
            json.dumps({"name": "b", "expectations": [range_of("temp", "nope")]}),
            r"expectations.json: expectations\[0\].meta.severity: 'nope' stood there",
        ),
        (
            json.dumps({"name": "b", "expectations": [{"type": "expect_x", "kwargs": {}}]}),
            r"expectations.json: expectations\[0\]: Great Expectations does not take it",
        ),
    ],
)
def test_a_file_that_is_no_suite_is_named_with_its_place(learned, table, run, text, message):
    (learned / "expectations.json").write_text(text)
    with pytest.raises(ValidationFailed, match=message) as caught:
        run("validate", "bike", table)
    assert "\n" not in str(caught.value)


def test_nothing_learned_and_nothing_written_is_said(bike, table, run):
    with pytest.raises(ValidationFailed, match="bike has no expectations yet: its first retrain"):
        run("validate", "bike", table)
    write(bike, range_of("temp", "hold", max_value=25))
    assert "1 rules" in run("validate", "data/bike", table, code=1).output


def test_validate_writes_nothing(learned, table, store, run):
    write(learned, range_of("temp", "warn", max_value=25))
    before = {info.key: info.etag for info in store.scan("")}
    run("validate", "bike", table)
    assert {info.key: info.etag for info in store.scan("")} == before


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
def test_rows_without_a_label_are_left_out_as_in_a_training(learned, here, run, name):
    file = here / name
    table = rows(200)
    table.loc[:9, "cnt"] = None
    table.to_parquet(file) if name.endswith("parquet") else table.to_csv(file, index=False)
    told = run("validate", "bike", file).output
    assert told.startswith("190 rows, ")
    assert "0 broken" in told
    assert "10 rows without a label are left out" in told
    found = json.loads(run("validate", "bike", file, "--json").output)
    assert (found["rows"], found["unlabelled"]) == (190, 10)


def test_files_in_the_store_are_judged_too(learned, here, store, run):
    rows(200).assign(temp=1e6).to_csv(here / "rows.csv", index=False)
    store.put("in/rows.csv", (here / "rows.csv").read_bytes())
    place = f"s3://{store.bucket}/in/rows.csv"
    assert "temp: expect_column_values" in run("validate", "bike", place, code=1).output


def test_a_pipeline_that_is_not_there_is_answered_with_those_that_are(learned, table, run):
    with pytest.raises(SpecError, match=r"there is no pipeline 'bik'; there are bike"):
        run("validate", "bik", table)
    with pytest.raises(SpecError, match=r"there is no pipeline.yaml in data/nowhere"):
        run("validate", "data/nowhere", table)


def test_a_copy_in_the_store_holds_for_who_cannot_see_the_folder(
    learned, table, store, run, here, monkeypatch
):
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(here / "data"))
    write(learned, range_of("temp", "hold", max_value=25))
    keep_edits(store, declare(store, learned))
    learned.rename(learned.parent.parent / "away")
    assert "temp: expect_column_values" in run("validate", "bike", table, code=1).output
    with pytest.raises(SpecError, match=r"there is no pipeline.yaml"):
        run("expectations", "data/bike", "--write")


def test_learning_the_same_again_writes_nothing(learned, store):
    key = layout.expectations("bike")
    written = store.get(key).etag
    suite = find_learned(store, "bike")
    keep_learned(store, "bike", suite)
    assert store.get(key).etag == written


def test_a_column_that_is_ignored_since_is_not_missed(learned, here, run):
    file = here / "rows.csv"
    rows(200).drop(columns="temp").to_csv(file, index=False)
    assert "temp: expect_column_to_exist is broken" in run("validate", "bike", file, code=1).output
    declared = learned / "pipeline.yaml"
    declared.write_text(declared.read_text() + "ignore: [temp]\n")
    rows(200).assign(temp=1e9).to_csv(file, index=False)
    run("validate", "bike", file)
