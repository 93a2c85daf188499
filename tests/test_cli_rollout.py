"""Rollback, approval and history from the command line, with nothing but a store."""

import json
from datetime import timedelta
from typing import get_args

import pytest
from typer.testing import CliRunner

from perennial import spec
from perennial.cli import app
from perennial.cli.rollout import Goal
from perennial.errors import PerennialError, SpecError
from perennial.registry import (
    Declaration,
    FileEntry,
    Lineage,
    Manifest,
    Recipe,
    change_state,
    new_entry,
    read_history,
    read_state,
)
from perennial.rollout.stages import advance, challenge
from perennial.spec import PipelineSpec, Rollout
from perennial.store import layout
from perennial.store.lease import utc_now

ROLLOUT = Rollout()


def manifest(version):
    return Manifest(
        pipeline="bike",
        version=version,
        task="regression",
        created_at=utc_now(),
        fence=1,
        files={"model.onnx": FileEntry(sha256="0", size=1)},
        lineage=Lineage(
            snapshot="0",
            spec="0",
            code="0",
            environment={},
            seed=0,
            recipe=Recipe(trained_rows=0, trial_rows=0, judged_rows=0),
            parent=None,
            reason="a test",
            cause=None,
            run="a run",
            estimator="linear",
        ),
    )


@pytest.fixture
def bike(store, settings, monkeypatch):
    """Version 1 answers, version 2 is in its shadow."""
    monkeypatch.setenv("PERENNIAL_S3_ENDPOINT", settings.s3_endpoint)
    monkeypatch.setenv("PERENNIAL_BUCKET", settings.bucket)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", settings.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", settings.secret_key)
    for version in ("0001-a", "0002-b"):
        store.put_json(layout.manifest("bike", version), manifest(version))
        change(store, "version.registered", lambda s, v=version: challenge(s, v, ROLLOUT))
        change(store, "rollout.advanced", lambda s: advance(s, s, ROLLOUT, utc_now()))
    return store


def change(store, event, how):
    change_state(store, "bike", how, new_entry(event, reason="so", by="test"))


def run(*arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def state(store):
    return read_state(store, "bike").state


def test_a_challenger_on_its_way_is_given_up(bike):
    said = run("rollback", "bike", "--why", "a hunch")
    assert said.output == "0001-a answers for bike; 0002-b does not any more.\n"
    assert (state(bike).champion, state(bike).stage) == ("0001-a", "idle")
    last = list(read_history(bike, "bike"))[-1]
    assert (last.event, last.version, last.reason) == ("rollout.rolled_back", "0002-b", "a hunch")
    assert last.by.endswith("the command line")


@pytest.mark.parametrize("to", ["0002-b", "0002"])
def test_a_version_can_be_named_by_the_start_of_its_name_too(bike, to):
    told = run("rollback", "bike", "--to", to, "--json")
    assert json.loads(told.output)["champion"] == "0002-b"
    assert state(bike).challenger is None


def test_a_version_that_is_not_there_is_refused_with_those_that_are(bike):
    with pytest.raises(SpecError, match="no version '7'; known: 0001-a, 0002-b"):
        run("rollback", "bike", "--to", "7")


@pytest.mark.parametrize("to", ["000", ""])
def test_a_name_that_may_be_several_versions_moves_nothing(bike, to):
    with pytest.raises(SpecError, match="known: 0001-a, 0002-b"):
        run("rollback", "bike", "--to", to)
    assert state(bike).challenger == "0002-b"


def test_without_an_earlier_champion_a_version_has_to_be_named(bike):
    run("rollback", "bike")
    with pytest.raises(SpecError, match="name a version with --to"):
        run("rollback", "bike")


def test_a_challenger_is_taken_on_by_hand(bike):
    with pytest.raises(PerennialError, match="there is no pipeline 'bike' in the store"):
        run("advance", "bike")
    source = {"uri": "s3://bucket/rows.csv"}
    declared = PipelineSpec(name="bike", task="regression", source=source, target="cnt")
    bike.put_json(layout.declaration("bike"), Declaration(spec=declared))
    said = run("advance", "bike", "--to", "canary")
    assert said.output == "0002-b of bike is in its canary.\n"
    said = run("advance", "bike", "--why", "no time")
    assert said.output == "bike: 0002-b answers, 0001-a before it.\n"
    last = list(read_history(bike, "bike"))[-1]
    assert (last.event, last.reason, last.details["by_hand"]) == (
        "rollout.promoted",
        "no time",
        True,
    )
    with pytest.raises(SpecError, match="bike has no challenger to take on"):
        run("advance", "bike")


def test_the_stages_of_the_command_are_those_of_the_form():
    assert tuple(goal.value for goal in Goal) == get_args(spec.Goal)


def test_an_approval_is_about_the_challenger_of_now(bike):
    assert "0002-b of bike may be promoted" in run("approve", "bike").output
    assert state(bike).approved == "0002-b"
    run("rollback", "bike")
    assert state(bike).approved is None
    with pytest.raises(SpecError, match="no challenger"):
        run("approve", "bike")


def test_the_page_of_a_rollout_is_fetched(bike, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PerennialError, match="no page of a rollout of any version of bike"):
        run("report", "bike")
    bike.put(layout.version_file("bike", "0001-a", "rollout.html"), b"<html>1")
    assert run("report", "bike").output == "bike-0001-a.html is written.\n"
    assert (tmp_path / "bike-0001-a.html").read_bytes() == b"<html>1"
    with pytest.raises(PerennialError, match="no page of a bake of version '0001-a' of bike"):
        run("report", "bike", "--version", "0001-a", "--bake")


def test_history_tells_who_answered_at_a_moment(bike):
    before = utc_now()
    run("rollback", "bike", "--to", "0002-b", "--why", "to see")
    then = run("history", "bike", "--at", f"{before:%Y-%m-%dT%H:%M:%S.%f%z}")
    assert then.output.startswith("0001-a 100%, 0002-b in its shadow\nsince ")
    later = utc_now() + timedelta(seconds=1)
    now = run("history", "bike", "--at", f"{later:%Y-%m-%dT%H:%M:%S.%f%z}", "--json")
    assert json.loads(now.output)["after"]["champion"] == "0002-b"


def test_before_the_first_version_nobody_answered(bike):
    with pytest.raises(PerennialError, match="had no version yet at 2020"):
        run("history", "bike", "--at", "2020-01-01 12:00")


def test_history_lists_all_changes(bike):
    entries = json.loads(run("history", "bike", "--json").output)
    assert [entry["after"]["stage"] for entry in entries] == [
        *("registered", "idle", "registered", "shadow")
    ]
