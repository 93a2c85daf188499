import subprocess
import sys
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from prefect import flow, runtime
from prefect.client.orchestration import get_client
from prefect.states import Cancelled
from typer.testing import CliRunner

import tasks.connection
import tasks.events
import tasks.rollout
from flows.monitor import monitor
from flows.outcome import MOST_TRIES
from flows.retrain import retrain
from flows.rollout import rollout
from perennial.cli import app
from perennial.registry import declare, list_versions, read_history, read_state
from perennial.store import acquire_lease, layout
from tasks.lease import held_lease
from tasks.rollout import begin_rollout
from tests.flows.conftest import edit_suite, frame


def say(*arguments):
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def run(flow, **parameters):
    return flow(**parameters, return_state=True)


TRAINED = {}
"""What the store held of a pipeline once its first version was there, by the files declaring it."""


def trained(pipeline, data=None):
    """Have a first version in the store; the same files are trained once for all tests."""
    folder = pipeline(frame() if data is None else data)
    store = tasks.connection.store()
    files = tuple((path.name, path.read_bytes()) for path in sorted(folder.iterdir()))
    if files not in TRAINED:
        assert run(retrain, pipeline="line").name == "Registered"
        TRAINED[files] = {info.key: store.get(info.key).data for info in store.scan("line/")}
        return
    for key, kept in TRAINED[files].items():
        store.put(key, kept)
    declare(store, folder)


def test_a_first_version_is_trained_and_takes_over(connected, pipeline):
    pipeline(frame())
    state = run(retrain, pipeline="line", reason="to begin")
    assert (state.name, state.type.value) == ("Registered", "COMPLETED")
    (manifest,) = list_versions(connected, "line")
    assert read_state(connected, "line").state.champion == manifest.version
    assert manifest.lineage.reason == "to begin"
    assert [e.event for e in read_history(connected, "line")] == [
        "version.registered",
        "rollout.promoted",
    ]


def test_a_second_version_begins_its_rollout_in_the_run_that_registered_it(connected, pipeline):
    trained(pipeline)
    first = read_state(connected, "line").state.champion
    pipeline(frame(900, slope=-3.0, seed=1))
    run(retrain, pipeline="line")
    state = read_state(connected, "line").state
    assert (state.champion, state.stage) == (first, "shadow")
    assert [e.event for e in read_history(connected, "line")][2:] == [
        "version.registered",
        "rollout.advanced",
    ]


def test_a_rollout_that_a_killed_run_did_not_begin_is_begun_by_the_next(
    connected, pipeline, monkeypatch
):
    trained(pipeline)
    pipeline(frame(900, slope=-3.0, seed=1))
    cause = layout.check("line", "w000003")

    def die(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks.rollout, "begin_rollout", die)
    with pytest.raises(KeyboardInterrupt):
        run(retrain, pipeline="line", cause=cause)
    monkeypatch.setattr(tasks.rollout, "begin_rollout", begin_rollout)
    assert read_state(connected, "line").state.stage == "registered"
    assert run(retrain, pipeline="line", cause=cause).name == "Answered already"
    assert read_state(connected, "line").state.stage == "shadow"


def test_a_rollout_without_a_challenger_changes_nothing(connected, pipeline):
    trained(pipeline)
    before = read_state(connected, "line")
    assert run(rollout, pipeline="line").name == "Nothing to do"
    assert read_state(connected, "line") == before


def test_a_pipeline_that_is_nowhere_fails_in_one_line(connected):
    state = run(retrain, pipeline="nobody")
    assert state.type.value == "FAILED"
    assert state.message.startswith("there is no pipeline 'nobody'")
    assert "\n" not in state.message


def test_a_broken_declaration_fails_with_the_keys_path(connected, pipeline):
    folder = pipeline(frame())
    file = folder / "pipeline.yaml"
    file.write_text(file.read_text() + "polcy: {}\n")
    state = run(retrain, pipeline="line")
    assert "polcy: unknown key; did you mean policy?" in state.message


@pytest.mark.parametrize("repaired", [retrain, rollout])
def test_a_run_that_crashed_too_often_is_not_tried_again(connected, pipeline, repaired):
    pipeline(frame())
    state = run(repaired, pipeline="line", attempt=MOST_TRIES + 1)
    assert state.type.value == "FAILED"
    assert state.message.startswith(f"crashed {MOST_TRIES} times in a row")
    assert list(read_history(connected, "line")) == []


def test_of_two_retrains_the_second_steps_aside_when_it_has_waited(
    connected, pipeline, monkeypatch
):
    monkeypatch.setitem(held_lease.__wrapped__.__kwdefaults__, "patience", timedelta(0))
    pipeline(frame())
    acquire_lease(connected, "line", "another run")
    state = run(retrain, pipeline="line")
    assert state.name == "Skipped"
    assert "another run holds the lease on line" in state.message


def test_the_lease_of_a_run_that_prefect_knows_to_have_ended_is_taken_at_once(connected, pipeline):
    pipeline(frame())
    ended = flow(name="ended")(lambda: str(runtime.flow_run.id))()
    acquire_lease(connected, "line", f"a killed run ({ended})")
    assert run(retrain, pipeline="line").name == "Registered"


def test_rows_that_break_a_hold_rule_are_not_trained_on(connected, pipeline):
    folder = pipeline(frame())
    run(retrain, pipeline="line")

    def demand_the_impossible(rule):
        if rule["kwargs"].get("column") == "x" and "min_value" in rule["kwargs"]:
            rule["kwargs"].update(min_value=100, max_value=200)
            rule["meta"]["severity"] = "hold"

    edit_suite(connected, folder, demand_the_impossible)
    state = run(retrain, pipeline="line")
    assert state.name == "Held"
    assert state.message.startswith("x: expect_column_values_to_be_between is broken")
    assert state.message.endswith("expectations.json if they are right; then ask again")
    assert len(list_versions(connected, "line")) == 1
    cause = layout.check("line", "w000002")
    for _ in range(2):
        assert run(retrain, pipeline="line", cause=cause).name == "Held"
    # Asked for by hand it is told each time, by a check that goes on asking once.
    told = [e for e in read_history(connected, "line") if e.event == "retrain.held"]
    assert [(e.cause, e.reason) for e in told] == [(None, state.message), (cause, state.message)]


def test_a_candidate_that_is_worse_is_refused_and_the_champion_stays(connected, pipeline):
    trained(pipeline)
    champion = read_state(connected, "line").state.champion
    spoiled = pd.concat([frame(), frame(40, seed=1)], ignore_index=True)
    spoiled.loc[:300, "y"] = np.random.default_rng(1).permutation(spoiled.loc[:300, "y"])
    file = pipeline(spoiled) / "pipeline.yaml"
    anew = file.read_text().replace("model: {estimators", "model: {seed: 1, estimators")
    file.write_text(anew)
    state = run(retrain, pipeline="line", reason="drift", cause=layout.check("line", "w000007"))
    assert state.name == "Refused"
    assert "against the champion" in state.message
    after = read_state(connected, "line").state
    assert (after.champion, after.challenger, after.answered) == (champion, None, "w000007")
    assert [m.version for m in list_versions(connected, "line")] == [champion]
    assert list(read_history(connected, "line"))[-1].event == "version.refused"
    by_hand = run(retrain, pipeline="line")
    assert by_hand.name == "Refused"
    last = list(read_history(connected, "line"))[-1]
    assert (last.event, last.cause, last.reason) == ("version.refused", None, by_hand.message)
    assert read_state(connected, "line").state == after
    listed = say("versions", "line", "--refused").output
    assert f"against {champion} on the same rows" in " ".join(listed.split())


def test_an_event_that_comes_twice_is_answered_once(connected, pipeline):
    trained(pipeline)
    pipeline(pd.concat([frame(400), frame(200, slope=-3.0, seed=5)], ignore_index=True))
    cause = layout.check("line", "w000003")
    assert run(retrain, pipeline="line", cause=cause).name in ("Registered", "Refused")
    assert run(retrain, pipeline="line", cause=cause).name == "Answered already"
    attempts = ("version.registered", "version.refused")
    asked = [entry.cause for entry in read_history(connected, "line") if entry.event in attempts]
    assert asked == [None, cause]


def test_a_pipeline_without_a_version_is_not_judged(connected, pipeline):
    pipeline(frame())
    state = run(monitor, pipeline="line")
    assert state.name == "Checked"
    assert list(connected.scan(layout.checks("line"))) == []


@pytest.mark.usefixtures("connected")
def test_rows_that_a_source_gained_are_judged_and_a_drift_is_asked_for_until_answered(pipeline):
    trained(pipeline)
    grown = frame(400)
    turned = frame(150, slope=-3.0, seed=5)
    pipeline(type(grown)({c: [*grown[c], *turned[c]] for c in grown}))
    state = run(monitor, pipeline="line")
    assert state.name == "Heal asked for"
    assert "small models of the newest rows are tried" in state.message
    assert run(monitor, pipeline="line").name == "Heal asked for"


def test_a_drift_is_not_asked_for_again_while_a_retrain_for_it_waits(
    connected, pipeline, monkeypatch
):
    trained(pipeline)
    calm = frame(250, seed=6)  # another window than in the test before: Prefect has a run for that
    turned = frame(150, slope=-3.0, seed=5)
    pipeline(pd.concat([frame(400), calm, turned], ignore_index=True))
    sent = []
    monkeypatch.setattr(tasks.events, "emit", lambda *event: sent.append(event))
    for _ in range(2):
        assert run(monitor, pipeline="line").name == "Heal asked for"
    assert [event for event, *_ in sent] == [tasks.events.DRIFT_CONFIRMED] * 2
    with get_client(sync_client=True) as client:
        wanted = {"pipeline": "line", "cause": sent[0][2]["verdict"]}
        waiting = client.create_flow_run(retrain, parameters=wanted)
        assert run(monitor, pipeline="line").name == "Heal asked for"
        assert len(sent) == 2
        client.set_flow_run_state(waiting.id, Cancelled(), force=True)
    run(monitor, pipeline="line")
    assert len(sent) == 3


def test_a_flow_is_read_without_what_only_its_tasks_need():
    names = ("monitor", "retrain", "rollout", "by_hand", "gc", "recover", "score", "validate")
    read = "; ".join(f"import flows.{name}" for name in names)
    said = "print(sorted({'boto3', 'pandas', 'sklearn', 'torch'} & {*sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {read}; {said}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"
