"""Start a deployment and wait for its run, over Prefect's REST API."""

from __future__ import annotations

import time
from typing import Any

import httpx

from perennial.errors import StackError
from perennial.local import forms

_TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_POLL = 0.4
"""Seconds: each question takes the server from the runs that it asks about."""


class Deployments:
    """The deployments of a Prefect server."""

    def __init__(self, api_url: str) -> None:
        transport = httpx.HTTPTransport(retries=3)
        self._http = httpx.Client(
            base_url=api_url, timeout=30, transport=transport, trust_env=False
        )
        self._ids: dict[str, str] = {}

    def start(self, name: str, parameters: dict[str, Any]) -> str:
        """Start a run of ``flow/deployment`` and return its id.

        Where the server refuses, the pipeline that it is for becomes one of those that forms offer,
        as no other is taken, and the server is asked once more.

        Raises:
            StackError: the server refuses, or does not answer for half a minute.
        """
        path = f"/deployments/{self._id(name)}/create_flow_run"
        body = {"parameters": parameters, "state": {"type": "SCHEDULED", "name": "Scheduled"}}
        try:
            return str(self._call("POST", path, body)["id"])
        except StackError:
            if "pipeline" not in parameters:
                raise
            forms.offer(self._call, [parameters["pipeline"]])
            return str(self._call("POST", path, body)["id"])

    def wait(self, run: str, *, timeout: float) -> dict[str, Any] | None:
        """Wait for a run's end and return its state; None where ``timeout`` seconds pass first."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            state: dict[str, Any] = self._call("GET", f"/flow_runs/{run}")["state"]
            if state["type"] in _TERMINAL:
                return state
            time.sleep(_POLL)
        return None

    def newest_states(self, name: str, count: int) -> list[dict[str, Any]]:
        """States of the newest runs of ``flow/deployment``, the newest first."""
        body = {
            "deployments": {"id": {"any_": [self._id(name)]}},
            "sort": "START_TIME_DESC",
            "limit": count,
        }
        return [run["state"] for run in self._call("POST", "/flow_runs/filter", body)]

    def close(self) -> None:
        """Let the connection go."""
        self._http.close()

    def _id(self, name: str) -> str:
        if name not in self._ids:
            self._ids[name] = str(self._call("GET", f"/deployments/name/{name}")["id"])
        return self._ids[name]

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        deadline = time.monotonic() + 30
        while True:
            try:
                answer = self._http.request(method, path, json=body)
            except httpx.TransportError as error:
                if time.monotonic() > deadline:
                    raise StackError(f"the Prefect server does not answer: {error}") from error
                time.sleep(0.5)
                continue
            if answer.status_code >= 500 and time.monotonic() < deadline:
                time.sleep(0.5)
                continue
            if answer.is_error:
                raise StackError(f"the Prefect server refuses {method} {path}: {answer.text[:300]}")
            return answer.json() if answer.content else None
