"""The service as a process of its own, on a real store; a Prefect that comes late."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from benchmarks.ports import free_port
from perennial.alerts.service import read_token
from perennial.errors import StackError
from perennial.registry import Declaration, read_state
from perennial.settings import Settings
from perennial.spec import PipelineSpec
from perennial.store import layout
from tests.alerts.incidents import alert, webhook
from tests.serving.serving_models import put_state, put_version
from tests.serving.serving_process import wait_for

TOKEN = "a token of the tests"


@contextmanager
def running_alerts(settings: Settings, **more: str) -> Iterator[httpx.Client]:
    """Start `perennial alerts` on a free port, and end it."""
    port = free_port()
    environment = {
        **os.environ,
        "PERENNIAL_S3_ENDPOINT": settings.s3_endpoint or "",
        "PERENNIAL_BUCKET": settings.bucket,
        "AWS_ACCESS_KEY_ID": settings.access_key or "",
        "AWS_SECRET_ACCESS_KEY": settings.secret_key or "",
        "PERENNIAL_ALERTS_TOKEN": TOKEN,
        **more,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "perennial", "alerts", "--port", str(port)], env=environment
    )
    address = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
        ) as client:
            wait_for(lambda: is_live(client) or process.poll() is not None)
            assert process.poll() is None
            yield client
    finally:
        process.terminate()
        assert process.wait(timeout=20) in (0, -15)


def is_live(client: httpx.Client) -> bool:
    try:
        return client.get("/v1/alerts/health").status_code == 200
    except httpx.TransportError:
        return False


class Events(BaseHTTPRequestHandler):
    """Takes events as Prefect does."""

    taken: list[dict] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.taken.extend(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def declare(store) -> None:
    spec = PipelineSpec(name="bike", task="regression", source={"uri": "s3://b/x.csv"}, target="y")
    store.put_json(layout.declaration("bike"), Declaration(spec=spec))
    for version in ("v1", "v2"):
        put_version(store, "bike", version, b"no graph is looked at here")
    put_state(store, "bike", "v2", previous="v1", stage="bake")


def test_alertmanager_and_others_are_answered_and_a_late_prefect_hears_of_it(settings, store):
    declare(store)
    port = free_port()
    slow = {"model": "bike", "version": "v2", "perennial_action": "rollback"}
    with running_alerts(settings, PREFECT_API_URL=f"http://127.0.0.1:{port}/api") as client:
        body = webhook(
            alert("f1", **slow), alert("f2", status="resolved", **slow), alert("f3", model="bike")
        )
        told = client.post("/v1/alerts", content=body).raise_for_status().json()["alerts"]
        assert [(a["fingerprint"], a["result"]) for a in told] == [
            ("f1", "rolled back"),
            ("f2", "resolved"),
            ("f3", "ignored"),
        ]
        assert read_state(store, "bike").state.champion == "v1"
        again = client.post("/v1/alerts", content=body).json()["alerts"][0]
        assert (again["result"], again["repeated"]) == ("rolled back", True)

        request = {"pipeline": "bike", "action": "retrain", "reason": "drift", "id": "d-7"}
        assert client.post("/v1/alerts", json=request).json()["result"] == "waiting"
        assert client.get("/v1/alerts/health").json()["waiting"] == 1
        metrics = client.get("/metrics").text
        assert 'perennial_alerts_total{action="rollback",result="rolled back"} 1.0' in metrics
        assert "perennial_alerts_waiting 1.0" in metrics

        with HTTPServer(("127.0.0.1", port), Events) as prefect:
            thread = threading.Thread(target=prefect.serve_forever)
            thread.start()
            try:
                wait_for(lambda: client.get("/v1/alerts/health").json()["waiting"] == 0)
            finally:
                prefect.shutdown()
                thread.join()
        assert [event["payload"]["reason"] for event in Events.taken] == ["drift"]
        refused(client)


def refused(client: httpx.Client) -> None:
    """What may not be, or cannot be understood."""
    assert client.post("/v1/alerts", content=b"{").status_code == 400
    unknown = {"pipeline": "nobody", "action": "monitor", "reason": "r"}
    assert client.post("/v1/alerts", json=unknown).status_code == 404
    assert client.post("/v1/alerts", content=b" " * (1 << 21)).status_code == 413
    assert client.get("/v1/alerts").status_code == 405
    for header in ("", "Bearer", "Bearer no", f"Basic {TOKEN}"):
        answer = client.post("/v1/alerts", json=unknown, headers={"Authorization": header})
        assert (answer.status_code, list(answer.json())) == (401, ["error"])
        assert client.get("/metrics", headers={"Authorization": header}).status_code == 401
    assert client.get("/v1/alerts/health", headers={"Authorization": ""}).status_code == 200


def test_while_the_store_is_away_nothing_is_taken(settings):
    port = free_port()
    gone = Settings(bucket="gone", s3_endpoint=f"http://127.0.0.1:{port}")
    with running_alerts(gone, AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b") as client:
        began = time.monotonic()
        body = webhook(alert(model="bike", perennial_action="retrain"))
        assert client.post("/v1/alerts", content=body).status_code == 503
        assert time.monotonic() - began < 20


def test_a_token_is_asked_for_and_read_from_a_file(tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert read_token({"PERENNIAL_ALERTS_TOKEN_FILE": str(file)}) == TOKEN
    for environ in ({}, {"PERENNIAL_ALERTS_TOKEN": "short"}):
        with pytest.raises(StackError, match="at least 16"):
            read_token(environ)
    with pytest.raises(StackError, match="cannot be read"):
        read_token({"PERENNIAL_ALERTS_TOKEN_FILE": str(tmp_path / "none")})
