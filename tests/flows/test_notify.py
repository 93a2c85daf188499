"""Whom a message reaches, and how often."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import pandas as pd
import pytest

import tasks.connection
from flows.monitor import monitor
from flows.retrain import retrain
from perennial.registry import read_history
from tests.flows.conftest import frame
from tests.flows.test_flows import run, trained
from tests.flows.test_validation import checks, noisy


@dataclass
class Inbox:
    """Messages (title, body) as a service takes them."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    broken: bool = False

    @property
    def titles(self):
        return [title for title, _ in self.messages]


@pytest.fixture
def box(connected, monkeypatch):
    inbox = Inbox()

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not inbox.broken:
                inbox.messages.append((body["title"], body["message"]))
            self.send_response(500 if inbox.broken else 200)
            self.end_headers()

        def log_message(self, *_): ...

    server = HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PERENNIAL_NOTIFY", f"json://127.0.0.1:{server.server_port}/")
    tasks.connection.settings.cache_clear()
    yield inbox
    server.shutdown()


def test_a_drift_is_told_once_and_again_only_where_nobody_heard(box, pipeline):
    pipeline(frame())
    run(retrain, pipeline="line")
    (promoted,) = box.titles
    assert promoted.endswith("was promoted")
    pipeline(pd.concat([frame(400), frame(150, slope=-3.0, seed=5)], ignore_index=True))
    box.broken = True
    run(monitor, pipeline="line")
    box.broken = False
    for _ in range(3):
        assert run(monitor, pipeline="line").name == "Heal asked for"
    assert box.titles[1:] == ["line: heal asked for"]
    reason = box.messages[-1][1]
    assert "small models of the newest rows are tried" in reason
    assert "/runs/flow-run/" in reason


def test_held_windows_in_a_row_are_one_incident(box, connected, immediate):
    trained(immediate, noisy(600, seed=0))
    begun = len(box.titles)
    frozen = [noisy(50, seed=seed).assign(x=0.25) for seed in (1, 2)]
    sound, later = noisy(50, seed=3), noisy(50, seed=4).assign(x=0.25)
    immediate(pd.concat([noisy(600, seed=0), *frozen, sound, later], ignore_index=True))
    assert run(monitor, pipeline="line").name == "Heal asked for", "by the sound window"
    held = [check["window"] for check in checks(connected) if check["data"]]
    assert held == ["w000001", "w000002", "w000004"]
    told = [text for title, text in box.messages[begun:] if "data held" in title]
    assert len(told) == 2
    assert told[-1].startswith("x constant in window 4 (frozen column in x: ")


def test_a_retrain_that_keeps_failing_is_told_again_with_the_reason(box, pipeline):
    folder = pipeline(frame())
    (folder / "data.csv").unlink()
    for cause in ("line/checks/w000007.json", "line/checks/w000007.json", None, None):
        assert run(retrain, pipeline="line", cause=cause).type.value == "FAILED"
    # With the second failure in a row people hear of that, and again with the fourth.
    assert box.titles == [
        "line: the retrain failed, the champion goes on",
        *["line: retrains keep failing, the champion ages"] * 2,
    ]
    assert "there is no file" in box.messages[0][1]
    assert "no successful retrain yet (4 failures in a row): source.uri" in box.messages[2][1]


def test_each_failure_stands_in_the_history_of_a_pipeline_that_there_is(connected, pipeline):
    folder = pipeline(frame())
    (folder / "data.csv").unlink()
    cause = "line/checks/w000007.json"
    for _ in range(2):
        run(retrain, pipeline="line", cause=cause, depth="correct")
    run(retrain, pipeline="lime")
    entries = list(read_history(connected, "line"))
    assert [(e.event, e.cause, e.details) for e in entries] == [
        ("retrain.failed", cause, {"depth": "correct"})
    ] * 2
    assert "there is no file" in entries[0].reason
    assert list(read_history(connected, "lime")) == []
