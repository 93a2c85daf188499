import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

import perennial.rollout.observer
import tasks.connection
import tasks.lease
import tasks.rollout
from flows.retrain import retrain
from flows.rollout import rollout
from perennial.drift.pricing import backoff
from perennial.registry import (
    append_history,
    change_state,
    find_declaration,
    new_entry,
    read_history,
    read_state,
    rollbacks_in_a_row,
)
from perennial.rollout.moves import approve, put_back
from perennial.rollout.stages import challenge
from perennial.store import acquire_lease, layout
from tests.flows.conftest import frame
from tests.flows.live import Traffic

STAGES = "shadow: {rows: 40}, canary: {weights: [0.3, 0.6], rows: 40}, bake: {rows: 60}, labels: 30"


def run(flow, **parameters):
    return flow(**parameters, return_state=True)


def roll():
    """One look, by a run of its own that remembers nothing."""
    return run(rollout, pipeline="line", seconds=0)


def noisy(slope, seed=0):
    data = frame(slope=slope, seed=seed)
    data["y"] += np.random.default_rng(seed + 1000).normal(size=len(data))
    return data


@pytest.fixture
def challenged(connected, pipeline, monkeypatch):
    """A champion that knows slope 3, and a registered challenger that has learned slope 1.5."""
    # There is no server here that would follow the state a moment later.
    monkeypatch.setattr(perennial.rollout.observer, "SETTLE", timedelta(0))

    def make(declared=STAGES):
        folder = pipeline(noisy(3.0))
        if not TRAINED:
            train_both(connected, pipeline, monkeypatch)
        for key, data in TRAINED.items():
            connected.put(key, data)
        file = folder / "pipeline.yaml"
        file.write_text(file.read_text() + f"rollout: {{{declared}}}\n")
        return connected

    return make


TRAINED = {}
"""What the store held when the challenger was registered: it is trained once for all tests."""


def train_both(store, pipeline, monkeypatch):
    assert run(retrain, pipeline="line").name == "Registered"
    pipeline(noisy(1.5, seed=1))
    with monkeypatch.context() as killed:  # as after a kill between the two
        killed.setattr(tasks.rollout, "begin_rollout", lambda *_: None)
        assert run(retrain, pipeline="line").name == "Registered"
    keys = [info.key for info in store.scan("line/")]
    own = (layout.declaration("line"), layout.lease("line"), layout.rollout_lease("line"))
    TRAINED.update({key: store.get(key).data for key in keys if key not in own})


def state_of(store):
    return read_state(store, "line").state


def events(store):
    return [entry.event for entry in read_history(store, "line")][3:]


def test_a_better_challenger_goes_all_the_way(challenged):
    store = challenged()
    old, new = state_of(store).champion, state_of(store).challenger
    traffic = Traffic(store, slope=1.5)
    assert roll().name == "Watching"
    seen = []
    while state_of(store).stage != "idle":
        seen.append((state_of(store).stage, state_of(store).weight))
        traffic.send(200)
        roll()
        assert len(seen) < 9
    assert seen == [("shadow", 0.0), ("canary", 0.3), ("canary", 0.6), ("bake", 0.0)]
    assert (state_of(store).champion, state_of(store).previous) == (new, old)
    assert events(store) == [
        *["rollout.advanced"] * 3,
        "rollout.promoted",
        "rollout.finished",
    ]
    assert rollbacks_in_a_row(read_history(store, "line")) == 0
    for page in ("rollout.html", "bake.html"):
        assert b"data:image/png" in store.get(layout.version_file("line", new, page)).data


def test_a_challenger_that_is_worse_on_live_rows_never_answers(challenged):
    store = challenged()
    old = state_of(store).champion
    roll()
    Traffic(store, slope=3.0).send(300)
    state = roll()
    assert state.name == "Rolled back"
    assert "shown to be worse than +5.0%" in state.message
    assert (state_of(store).champion, state_of(store).challenger) == (old, None)
    assert rollbacks_in_a_row(read_history(store, "line")) == 1


def test_the_lease_of_a_watch_that_was_killed_is_waited_for(challenged):
    store = challenged()
    key, short = layout.rollout_lease("line"), timedelta(seconds=1.5)
    acquire_lease(store, "line", "a killed run", key=key, ttl=short)
    assert roll().name == "Watching"
    assert state_of(store).stage == "shadow"


@pytest.fixture
def told(monkeypatch):
    """A webhook in PERENNIAL_NOTIFY, and what it was told."""
    messages = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            messages.append(json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args):
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PERENNIAL_NOTIFY", f"json://127.0.0.1:{server.server_port}")
        tasks.connection.settings.cache_clear()
        yield messages
        server.shutdown()
        thread.join()
    tasks.connection.settings.cache_clear()


def test_a_rollback_is_told_to_people(challenged, told):
    store = challenged()
    roll()
    new = state_of(store).challenger
    Traffic(store, slope=3.0).send(300)
    roll()
    message = told[-1]
    assert message["title"] == f"line: {new} was rolled back"
    assert "shown to be worse" in message["message"]
    assert f"{state_of(store).champion} answers all requests." in message["message"]


def test_an_address_that_hears_nothing_does_not_stop_a_rollback(challenged, monkeypatch):
    store = challenged()
    monkeypatch.setenv("PERENNIAL_NOTIFY", "json://127.0.0.1:1")
    tasks.connection.settings.cache_clear()
    roll()
    Traffic(store, slope=3.0).send(300)
    assert roll().name == "Rolled back"
    tasks.connection.settings.cache_clear()


def test_with_every_rollback_in_a_row_the_policy_waits_longer(challenged):
    store = challenged("shadow: {rows: 40}, canary: null, bake: null")
    again, waits = state_of(store).challenger, []
    roll()
    declared = find_declaration(store, "line").spec
    for number in range(4):
        store.put(layout.check("line", f"w{number:06d}"), b"{}")
        Traffic(store, slope=3.0, sent=1000 * number).send(300)
        assert roll().name == "Rolled back"
        assert state_of(store).answered == f"w{number:06d}"
        waits.append(backoff(rollbacks_in_a_row(read_history(store, "line"))))
        change_state(
            store,
            "line",
            lambda state: challenge(state, again, declared.rollout),
            new_entry("version.registered", reason="the same again", by="test"),
            fence=state_of(store).fence,
        )
        roll()
    assert waits == sorted(set(waits))


def test_a_rollback_answers_the_windows_that_were_checked_so_far(challenged):
    store = challenged()
    store.put(layout.check("line", "w000004"), b"{}")
    roll()
    Traffic(store, slope=3.0).send(300)
    roll()
    assert state_of(store).answered == "w000004"


def in_canary(store, traffic):
    roll()
    traffic.send(60)
    roll()
    assert state_of(store).stage == "canary"


def test_a_slow_challenger_is_rolled_back(challenged):
    store = challenged()
    traffic = Traffic(store, slope=1.5, latency={"challenger": 51_000})
    in_canary(store, traffic)
    traffic.send(250, labelled=False)
    state = roll()
    assert state.name == "Rolled back"
    assert "50th percentile 51.0 ms against 0.9 ms" in state.message


def test_a_split_that_is_not_as_meant_stops_the_rollout(challenged):
    store = challenged()
    traffic = Traffic(store, slope=1.5, honest_split=False)
    in_canary(store, traffic)
    traffic.send(300, labelled=False)
    state = roll()
    assert state.name == "Rolled back"
    assert "sample ratio" in state.message


def test_a_challenger_that_a_server_refuses_is_rolled_back(challenged):
    store = challenged()
    roll()
    entry = new_entry(
        "model.refused", version=state_of(store).challenger, reason="no graph", by="a server"
    )
    append_history(store, "line", entry)
    assert "a server refuses to load it: no graph" in roll().message


def test_one_whose_files_are_damaged_is_rolled_back(challenged):
    store = challenged()
    roll()
    store.put(layout.version_file("line", state_of(store).challenger, "model.onnx"), b"scrap")
    state = roll()
    assert state.name == "Rolled back"
    assert "is not what its manifest says" in state.message


def test_a_breach_in_the_bake_puts_the_old_champion_back(challenged):
    store = challenged("shadow: null, canary: null, bake: {rows: 900}, labels: 30")
    old, new = state_of(store).champion, state_of(store).challenger
    assert roll().name == "Watching"
    assert (state_of(store).champion, state_of(store).stage) == (new, "bake")
    Traffic(store, slope=3.0).send(400)
    assert roll().name == "Rolled back"
    assert state_of(store).champion == old
    assert events(store) == ["rollout.promoted", "rollout.rolled_back"]
    assert rollbacks_in_a_row(read_history(store, "line")) == 1


def test_a_champion_that_proves_itself_in_the_bake_stays(challenged):
    store = challenged("shadow: null, canary: null, bake: {rows: 100}, labels: 30")
    new = state_of(store).challenger
    roll()
    Traffic(store, slope=1.5).send(150)
    roll()
    assert (state_of(store).champion, state_of(store).stage) == (new, "idle")


def test_without_stages_it_takes_over_at_once(challenged):
    store = challenged("shadow: null, canary: null, bake: null")
    new = state_of(store).challenger
    assert roll().name == "Promoted"
    assert (state_of(store).champion, state_of(store).stage) == (new, "idle")


@pytest.mark.parametrize(
    ("choice", "title"), [("promote", "Promoted"), ("roll_back", "Rolled back")]
)
def test_without_labels_the_end_is_as_declared(challenged, choice, title):
    stages = "shadow: null, canary: {weights: [0.5], rows: 20, time: 0s}, bake: null"
    store = challenged(f"{stages}, inconclusive: {choice}")
    assert roll().name == title
    assert list(read_history(store, "line"))[-1].reason.startswith("inconclusive")


def test_a_newer_version_waits_for_the_rollout_under_way(challenged):
    store = challenged()
    roll()
    first = state_of(store).challenger
    declared = find_declaration(store, "line").spec.rollout
    change_state(
        store,
        "line",
        lambda state: challenge(state, first, declared),
        new_entry("version.registered", reason="a second one", by="test"),
        fence=state_of(store).fence + 1,
    )
    assert (state_of(store).challenger, state_of(store).waiting) == (first, first)
    Traffic(store, slope=3.0).send(300)
    roll()
    assert (state_of(store).stage, state_of(store).waiting) == ("shadow", None)
    assert events(store)[-2:] == ["rollout.rolled_back", "rollout.advanced"]


def test_a_person_has_to_approve_where_that_is_declared(challenged):
    store = challenged("shadow: null, canary: null, bake: null, approval: manual")
    old, new = state_of(store).champion, state_of(store).challenger
    assert roll().name == "Waiting for approval"
    assert state_of(store).champion == old
    assert approve(store, "line", by="a person", why="looks well") == new
    assert roll().name == "Promoted"
    assert state_of(store).champion == new
    assert state_of(store).approved is None


def test_a_rollback_by_hand_ends_a_rollout_at_once(challenged):
    store = challenged()
    roll()
    old = state_of(store).champion
    after, given_up = put_back(store, "line", to=None, why="a hunch", by="a person")
    assert (after.champion, after.challenger, after.stage) == (old, None, "idle")
    assert given_up is not None
    assert roll().name == "Nothing to do"


def test_while_one_run_watches_another_steps_aside(challenged, monkeypatch):
    monkeypatch.setattr(tasks.lease, "_WATCH_TTL", timedelta(seconds=0.1))
    store = challenged()
    acquire_lease(store, "line", "another run", key=layout.rollout_lease("line"))
    assert roll().name == "Skipped"
    assert state_of(store).stage == "registered"


def test_a_slice_that_no_request_has_is_refused_before_anything_begins(challenged):
    store = challenged(f"{STAGES}, slices: [colour]")
    state = roll()
    assert state.type.value == "FAILED"
    assert "rollout.slices: 'colour' is no field of a request to line; known: " in state.message
    assert state_of(store).stage == "registered"


def test_the_history_says_on_what_grounds(challenged):
    store = challenged()
    roll()
    Traffic(store, slope=3.0).send(300)
    roll()
    last = list(read_history(store, "line"))[-1]
    checks = {check["name"]: check["status"] for check in last.details["checks"]}
    assert checks["loss"] == "breach"
    assert last.after.challenger is None
    json.dumps(last.details)


def test_a_run_that_dies_after_the_change_of_state_leaves_a_whole_rollout(challenged, monkeypatch):
    store = challenged()
    roll()
    Traffic(store, slope=1.5).send(60)

    def die(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(tasks.rollout, "_tell", die)
    with pytest.raises(KeyboardInterrupt):
        roll()
    monkeypatch.undo()
    assert state_of(store).stage == "canary"
