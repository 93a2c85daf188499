"""The few words of Prefect's REST API that the stack needs; the client library is not imported."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

import httpx

from perennial.errors import StackError
from perennial.local import forms

POOL = "perennial"
TRIES = 10
PAUSE = 0.5
QUICK = ("recover", "monitor")
"""Flows whose runs come by themselves, again and again, and last seconds."""
PROCESS_TEMPLATE: dict[str, Any] = {
    "job_configuration": {
        "command": "{{ command }}",
        "env": "{{ env }}",
        "working_dir": "{{ working_dir }}",
    },
    "variables": {
        "type": "object",
        "properties": {
            "command": {
                "type": "string",
                "default": shlex.join([sys.executable, "-m", "prefect.engine"]),
            },
            "env": {"type": "object"},
            "working_dir": {"type": "string"},
        },
    },
}
"""Of a pool for Prefect's process worker. Without a command it starts one Python to find the flow,
which starts another one to run it: twice the imports."""


def ensure_pool(api_url: str, worker_type: str) -> str:
    """Make the work pool, anew where it is of another type, and return its id.

    A pool's type cannot be changed. Deployments outlive their pool, but must be applied again.

    Raises:
        StackError: the Prefect server refuses.
    """
    with _client(api_url) as client:
        found = _call(client, "GET", f"/work_pools/{POOL}")
        if found is not None and found["type"] != worker_type:
            _call(client, "DELETE", f"/work_pools/{POOL}")
            found = None
        if found is None:
            found = _call(client, "POST", "/work_pools/", {"name": POOL, "type": worker_type})
        if worker_type == "process" and found["base_job_template"] != PROCESS_TEMPLATE:
            _call(client, "PATCH", f"/work_pools/{POOL}", {"base_job_template": PROCESS_TEMPLATE})
        if found["is_paused"]:  # as the stack that ended left it
            _call(client, "PATCH", f"/work_pools/{POOL}", {"is_paused": False})
    return str(found["id"])


def let_quick_runs_end(api_url: str, patience: float) -> None:
    """Have no further run begin, and wait for those that end within seconds by themselves.

    Runs that last longer are not waited for: they are gone on with at the next start.

    Args:
        patience: seconds to wait at most.

    Raises:
        StackError: the Prefect server refuses.
    """
    deadline = time.monotonic() + patience
    asked = {
        "flows": {"name": {"any_": list(QUICK)}},
        "flow_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}},
    }
    with _client(api_url) as client:
        _call(client, "PATCH", f"/work_pools/{POOL}", {"is_paused": True})
        while _call(client, "POST", "/flow_runs/filter", asked):
            if time.monotonic() > deadline:
                return
            time.sleep(PAUSE)


def offer_pipelines(api_url: str, names: Iterable[str], *, only: bool = False) -> None:
    """Have the forms offer pipelines; see `perennial.local.forms.offer`.

    Raises:
        StackError: the Prefect server refuses.
    """
    with _client(api_url) as client:
        forms.offer(partial(_call, client), names, only=only)


def ensure_automation(api_url: str, wanted: dict[str, Any]) -> None:
    """Make an automation, or bring the one of its name up to date.

    Raises:
        StackError: the Prefect server refuses.
    """
    with _client(api_url) as client:
        found = _call(client, "POST", "/automations/filter", {})
        mine = [entry["id"] for entry in found or () if entry["name"] == wanted["name"]]
        if mine:
            _call(client, "PUT", f"/automations/{mine[0]}", wanted)
        else:
            _call(client, "POST", "/automations/", wanted)


def worker_fault(api_url: str, worker: str) -> str | None:
    """Say what keeps a worker from taking runs: None when it is online."""
    try:
        with _client(api_url) as client:
            workers = _call(client, "POST", f"/work_pools/{POOL}/workers/filter", {})
    except StackError as error:
        return str(error)
    states = {entry["name"]: entry["status"] for entry in workers or ()}
    state = states.get(worker, "unknown")
    return None if state == "ONLINE" else f"the worker is {state.lower()} to the Prefect server"


def _client(api_url: str) -> httpx.Client:
    return httpx.Client(base_url=api_url, timeout=10, trust_env=False)


def _call(client: httpx.Client, method: str, path: str, body: Any = None) -> Any:
    """Return the decoded answer; None where there is nothing under this path."""
    for _ in range(TRIES):
        try:
            answer = client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise StackError(f"the Prefect server does not answer: {error}") from error
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(PAUSE)  # SQLite is locked: Prefect's own client waits and asks again, too
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    if answer.is_error:
        raise StackError(
            f"the Prefect server answered {answer.status_code} to {method} {path}: {answer.text}"
        )
    return answer.json() if answer.content else {}
