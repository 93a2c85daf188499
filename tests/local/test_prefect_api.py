"""What a stop asks of the Prefect server, and what the next start does."""

from __future__ import annotations

import json

import httpx
import pytest

from perennial.local import prefect_api


class Server:
    """A pool, and runs that are over after so many looks."""

    def __init__(self, looks):
        self.looks = looks
        self.paused = False
        self.asked = []

    def __call__(self, request):
        body = json.loads(request.content) if request.content else None
        if request.url.path.endswith("/flow_runs/filter"):
            self.asked.append(body)
            self.looks -= 1
            return httpx.Response(200, json=[{"name": "recover"}] if self.looks >= 0 else [])
        if request.method == "PATCH":
            self.paused = body["is_paused"]
            return httpx.Response(204)
        pool = {"id": "1", "type": "perennial-fork", "is_paused": self.paused}
        return httpx.Response(200, json=pool)


@pytest.fixture
def serve(monkeypatch):
    def begin(looks):
        server = Server(looks)

        def client(url):
            return httpx.Client(base_url=url, transport=httpx.MockTransport(server))

        monkeypatch.setattr(prefect_api, "_client", client)
        monkeypatch.setattr(prefect_api, "PAUSE", 0.001)
        return server

    return begin


def test_a_stop_lets_no_further_run_begin_and_waits_for_those_that_are_about_to_end(serve):
    server = serve(looks=3)
    prefect_api.let_quick_runs_end("http://prefect/api", 60)
    assert server.paused
    assert len(server.asked) == 4
    assert set(server.asked[0]["flows"]["name"]["any_"]) == {"recover", "monitor"}


def test_it_does_not_wait_for_ever(serve):
    server = serve(looks=10**9)
    prefect_api.let_quick_runs_end("http://prefect/api", 0.01)
    assert server.paused


def test_the_next_start_lets_runs_begin_again(serve):
    server = serve(looks=0)
    prefect_api.let_quick_runs_end("http://prefect/api", 60)
    assert prefect_api.ensure_pool("http://prefect/api", "perennial-fork") == "1"
    assert not server.paused
