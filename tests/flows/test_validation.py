"""What is refused goes aside and comes back; windows that are broken are held and left out."""

import json
from datetime import datetime

import numpy as np
import pandas as pd
import pytest

import tasks.check
from flows.monitor import monitor
from flows.retrain import retrain
from perennial.datasets.snapshot import find_snapshot, load_snapshot
from perennial.registry import list_versions, read_state
from perennial.store import layout
from perennial.validation.quarantine import Quarantine
from tests.flows.conftest import edit_suite, frame
from tests.flows.live import Traffic
from tests.flows.test_flows import run, trained


def checks(store):
    keys = [info.key for info in store.scan(layout.checks("line"))]
    return [json.loads(store.get(key).data) for key in keys]


def newest_rows(store):
    """Of the last snapshot, whatever became of its candidate."""
    keys = [i for i in store.scan("line/snapshots/") if i.key.endswith(".json")]
    sha256 = max(keys, key=lambda i: i.modified).key.rsplit("/", 1)[-1].removesuffix(".json")
    return load_snapshot(store, find_snapshot(store, "line", sha256))


def noisy(rows, seed):
    data = frame(rows, seed=seed)
    return data.assign(y=data["y"] + np.random.default_rng(seed).normal(size=rows))


@pytest.fixture
def events(monkeypatch):
    sent = []

    def emit(event, pipeline, payload):
        sent.append((event, payload))

    monkeypatch.setattr("tasks.events.emit", emit)
    return sent


def spoiled():
    far = noisy(5, seed=9).assign(x=[1e6, 2e6, 3e6, -1e6, 5e6])
    return pd.concat([noisy(400, seed=0), far], ignore_index=True)


def test_rows_that_are_refused_go_aside_once_and_come_back_when_released(connected, pipeline):
    pipeline(noisy(400, seed=0))
    run(retrain, pipeline="line")
    pipeline(spoiled())
    for _ in range(2):
        run(retrain, pipeline="line")
        assert len(newest_rows(connected)) == 400
    quarantine = Quarantine(connected, "line")
    (entry,) = quarantine.entries()
    rows = quarantine.rows(entry.record.name)
    assert sorted(rows["x"]) == [-1e6, 1e6, 2e6, 3e6, 5e6]
    assert set(rows["_rule"]) == {"expect_column_values_to_be_between(x)"}
    ids = list(rows.loc[rows["x"] > 0, "_row"])
    quarantine.release(entry.record.name, "r1", "true", "me", entry.record.at, rows=ids)
    run(retrain, pipeline="line")
    assert sorted(newest_rows(connected)["x"])[-4:] == [1e6, 2e6, 3e6, 5e6]
    assert len(newest_rows(connected)) == 404


def test_rows_that_an_edited_rule_lets_through_are_released_by_themselves(connected, pipeline):
    folder = pipeline(noisy(400, seed=0))
    run(retrain, pipeline="line")
    pipeline(spoiled())
    run(retrain, pipeline="line")

    def let_more_in(rule):
        if rule["type"] == "expect_column_values_to_be_between" and rule["kwargs"]["column"] == "x":
            rule["kwargs"]["max_value"] = 1e7

    edit_suite(connected, folder, let_more_in)
    written = (folder / "expectations.json").read_text()
    run(retrain, pipeline="line")
    assert len(newest_rows(connected)) == 404
    (entry,) = Quarantine(connected, "line").entries()
    assert entry.released == 4
    assert (folder / "expectations.json").read_text() == written


def test_more_refused_rows_than_may_be_hold_the_training(connected, pipeline, events):
    folder = pipeline(noisy(400, seed=0))
    run(retrain, pipeline="line")
    pipeline(spoiled())
    file = folder / "pipeline.yaml"
    file.write_text(file.read_text() + "validation: {quarantine_share: 0.01}\n")
    state = run(retrain, pipeline="line")
    assert state.name == "Held"
    assert "5 rows set aside" in state.message
    assert events[-1][0] == "perennial.data.held"


def test_the_report_opens_offline_and_is_in_the_store(connected, pipeline):
    pipeline(noisy(400, seed=0))
    run(retrain, pipeline="line")
    (manifest,) = list_versions(connected, "line")
    key = layout.validation_report("line", manifest.lineage.snapshot)
    page = connected.get(key).data.decode()
    assert "Training and serving" in page
    assert "http" not in page
    assert "src=" not in page


@pytest.fixture
def held(connected, immediate, events):
    """A champion, a frozen window behind it, and a sound one behind that."""
    trained(immediate, noisy(600, seed=0))
    frozen = noisy(50, seed=1).assign(x=0.25)
    data = pd.concat([noisy(600, seed=0), frozen, noisy(50, seed=2)], ignore_index=True)
    immediate(data)
    # The sound one has labels, and asks for the first small models.
    assert run(monitor, pipeline="line").name == "Heal asked for"
    return connected


def test_a_broken_window_is_held_and_told_and_is_no_evidence(held, events):
    first, second = checks(held)
    (verdict,) = first["data"]
    assert (verdict["window"], verdict["held"]) == ("w000001", True)
    assert verdict["causes"][0]["kind"] == "frozen_column"
    assert first["input"] is None
    assert first["decision"]["reason"].startswith("data held: frozen column in x")
    assert second["data"] == []
    assert {loss["window"] for check in (first, second) for loss in check["losses"]} == {"w000002"}
    (told,) = [payload for event, payload in events if event == "perennial.data.held"]
    assert told["window"] == "w000001"
    assert read_state(held, "line").state.champion is not None


@pytest.mark.usefixtures("events")
def test_what_is_held_is_not_usual_for_the_next_look(connected, immediate):
    trained(immediate, noisy(600, seed=0))
    data = noisy(600, seed=0)
    for seed in (1, 2, 3):
        data = pd.concat([data, noisy(50, seed=seed).assign(x=0.25)], ignore_index=True)
        immediate(data)
        assert run(monitor, pipeline="line").name == "Held"
    assert len(Quarantine(connected, "line").held_windows()) == 3


def test_a_held_window_is_not_trained_on_until_it_is_released(held):
    run(retrain, pipeline="line", reason="again")
    assert len(newest_rows(held)) == 650
    assert not (newest_rows(held)["x"] == 0.25).any()
    quarantine = Quarantine(held, "line")
    (record,) = quarantine.held_windows()
    quarantine.release(record.name, "r1", "true after all", "me", record.at)
    run(retrain, pipeline="line", reason="and again")
    assert (newest_rows(held)["x"] == 0.25).sum() == 50


def test_a_monitor_that_dies_before_it_wrote_its_check_holds_the_window_once(
    connected, pipeline, events, monkeypatch
):
    trained(pipeline, noisy(600, seed=0))
    pipeline(pd.concat([noisy(600, seed=0), noisy(50, seed=1).assign(x=0.25)], ignore_index=True))
    write = tasks.check._write
    monkeypatch.setattr(tasks.check, "_write", lambda check: None)
    run(monitor, pipeline="line")
    assert checks(connected) == []
    monkeypatch.setattr(tasks.check, "_write", write)
    run(monitor, pipeline="line")
    assert len(checks(connected)) == 1
    assert len(Quarantine(connected, "line").held_windows()) == 1


@pytest.mark.usefixtures("events")
def test_served_windows_are_judged_and_one_that_is_broken_is_left_out(connected, pipeline):
    trained(pipeline, noisy(600, seed=0))
    traffic = Traffic(connected, slope=3.0)
    traffic.send(100)
    run(monitor, pipeline="line")
    Traffic(connected, slope=3.0, sent=1000, unit=1000.0).send(50)
    Traffic(connected, slope=3.0, sent=2000).send(50)
    run(monitor, pipeline="line")
    held = [(c["window"], [v["window"] for v in c["data"]]) for c in checks(connected)]
    assert held == [
        ("w000001", []),
        ("w000002", []),
        ("w000003", ["w000003"]),
        ("w000004", []),
    ]
    (record,) = Quarantine(connected, "line").held_windows()
    assert record.reasons[0].startswith("unit change in x")
    run(retrain, pipeline="line")
    assert len(newest_rows(connected)) == 750


@pytest.mark.usefixtures("events")
def test_windows_that_follow_one_another_in_the_log_are_not_held_for_time(connected, pipeline):
    hours = pd.date_range("2030-01-01", periods=600, freq="h")
    folder = pipeline(noisy(600, seed=0).assign(ts=hours))
    file = folder / "pipeline.yaml"
    file.write_text(file.read_text() + "time: ts\n")
    run(retrain, pipeline="line")
    traffic = Traffic(connected, slope=3.0, begins=datetime(2030, 1, 26))
    for _ in range(3):
        traffic.send(50)
        run(monitor, pipeline="line")
    assert [c["data"] for c in checks(connected)] == [[], [], []]


@pytest.mark.usefixtures("events")
def test_a_feature_that_no_request_brings_is_refused_until_it_is_allowed(connected, pipeline):
    rows = noisy(600, seed=0)
    trained(pipeline, rows[:500])
    Traffic(connected, slope=3.0, unit=float("nan")).send(120, labelled=False)
    file = pipeline(rows) / "pipeline.yaml"
    state = run(retrain, pipeline="line", reason="again")
    assert state.name == "Refused"
    assert "'x' had no value in 100% of 120 served rows" in state.message
    file.write_text(file.read_text() + "gates: {allow_leakage: [x]}\n")
    assert "'x' had no value" not in run(retrain, pipeline="line", reason="all the same").message
