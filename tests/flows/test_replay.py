"""The record of a pipeline, decided again."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

import tasks.connection
from flows.monitor import monitor
from flows.retrain import retrain
from perennial.datasets.compaction import Target, compact
from perennial.loop.replay import replay
from perennial.registry import Declaration, declare, find_declaration, read_history
from perennial.store import layout
from tests.flows.conftest import edit_suite, frame
from tests.flows.live import Traffic
from tests.flows.test_flows import run, trained


def nobody(bucket: str, key: str) -> bytes:
    raise AssertionError(f"{bucket}/{key} is asked for")


def again(store, **since):
    known = find_declaration(store, "line")
    folder = known.folder_below(tasks.connection.settings().pipeline_folders)
    declared = Declaration(spec=known.spec, folder=str(folder))
    return list(replay(store, declared, fetch=nobody, **since))


def asked(state):
    return state.name in ("Drift confirmed", "Heal asked for")


RECORD = {}
"""What the store holds of `record`, made once for all tests."""


@pytest.fixture
def record(connected, immediate):
    """A pipeline whose world changes after a while, with heals, and windows whose labels are
    late."""
    if not RECORD:
        heal_and_grow_late(connected, immediate)
        RECORD.update({info.key: connected.get(info.key).data for info in connected.scan("")})
        return connected
    for key, kept in RECORD.items():
        connected.put(key, kept)
    declare(connected, immediate(frame()))
    return connected


def heal_and_grow_late(connected, immediate):
    trained(immediate)
    traffic = Traffic(connected, slope=3.0)
    for look in range(8):
        traffic.slope = 3.0 if look < 3 else 9.0
        traffic.send(100 if look == 5 else 50, labelled=look != 6)
        if asked(run(monitor, pipeline="line")):
            cause, depth = newest_heal(connected)
            run(retrain, pipeline="line", depth=depth, cause=cause, reason="asked for")


def newest_heal(store):
    """The check that asked last, and for what: a window behind it may wait for that."""
    for key in reversed([info.key for info in store.scan(layout.checks("line"))]):
        decision = json.loads(store.get(key).data)["decision"]
        if decision["action"] == "heal":
            return key, decision["depth"]
    raise AssertionError


def alter(store, window, change):
    key = layout.check("line", window)
    check = json.loads(store.get(key).data)
    change(check)
    store.put(key, json.dumps(check).encode())


def test_every_decision_comes_out_the_same_whatever_came_since(record, immediate):
    found = again(record)
    assert len(found) == 9
    assert {window.recorded for window in found} >= {"keep", "correct"}
    assert [w for w in found if not w.same] == []
    later = Traffic(record, slope=9.0, sent=10_000)
    later.send(30)
    for name in ("live-0", "live-449"):
        later._tell({name: -1e6})
    edit_suite(record, immediate(frame()), lambda rule: rule.update(meta={}))
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for prefix in (layout.prediction_log("line"), layout.feedback_log("line")):
        list(compact(record, prefix, Target(fewest=2), before=tomorrow))
    before = {info.key: info.etag for info in record.scan("")}
    assert [w for w in again(record) if not w.same] == []
    assert {info.key: info.etag for info in record.scan("")} == before


def differences(store):
    return {w.window: [str(d) for d in w.differences] for w in again(store) if not w.same}


def test_what_was_altered_by_hand_is_told(record):
    heal = next(window for window in again(record) if window.recorded == "correct").window
    key = layout.check("line", heal)
    stands = record.get(key).data

    alter(record, heal, lambda check: check["decision"].update(depth="retrain"))
    told = differences(record)
    assert told == {heal: ["decision.depth: retrain recorded, correct again"]}
    record.put(key, stands)

    def more(check):
        check["decision"]["mixture"]["correct"] += 1e-5

    alter(record, heal, more)
    ((which, (told,)),) = differences(record).items()
    assert which == heal
    assert told.startswith("decision.mixture.correct: ")
    record.put(key, stands)
    assert differences(record) == {}

    entry = next(e for e in read_history(record, "line") if e.details.get("depth") == "correct")
    details = {**entry.details, "cpu_seconds": 50_000.0}
    altered = entry.model_copy(update={"details": details})
    record.put_json(layout.history_entry("line", entry.id), altered)
    assert differences(record)


def test_a_part_is_decided_again_by_itself_and_what_is_lost_is_told(record):
    found = again(record)
    later = again(record, since=found[4].at)
    assert 0 < len(later) <= len(found) - 5
    assert all(window.same for window in later)
    first = json.loads(record.get(layout.check("line", "w000001")).data)
    record.delete(layout.fact("line", first["facts"]["declaration"]))
    assert {w.lost is not None for w in again(record)} == {True}
