"""Runs of the worker that forks: cancelled in the UI, one and no other."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.rollouts import Pipeline, until
from worker.identity import Identity

pytestmark = pytest.mark.slow


@pytest.fixture
def watched(stack, request):
    """Two challengers, and the runs that watch them; both are given up in the end."""
    names = [f"{request.node.name.replace('_', '-')[-40:].strip('-')}-{n}" for n in (1, 2)]
    pipelines = [Pipeline(stack, name) for name in names]
    for pipeline in pipelines:
        pipeline.register(1.5)
        pipeline.start("rollout/rollout")
    until(lambda: all(pipeline.state.stage == "shadow" for pipeline in pipelines))
    yield [(pipeline, until(pipeline.watching)) for pipeline in pipelines]
    for pipeline in pipelines:
        pipeline.start("rollback/rollback", wait=True)
        stack.ended(f"rollout {pipeline.name}")


def cancel(stack, run):
    """As the button does."""
    url = f"{stack.settings.prefect_address}/flow_runs/{run['id']}/set_state"
    body = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    httpx.post(url, json=body).raise_for_status()


def is_cancelled_alone(stack, watched):
    (first, gone), (second, other) = watched
    cancel(stack, gone)
    ended = {run["id"]: run for run in stack.ended(f"rollout {first.name}")}[gone["id"]]
    assert (ended["state_type"], ended["state_name"]) == ("CANCELLED", "Cancelled")
    process = Identity.parse(gone["infrastructure_pid"])
    until(lambda: not process.is_alive())
    assert second.watching()["id"] == other["id"]
    assert first.state.stage == "shadow"
    first.start("rollout/rollout")
    assert until(first.watching)["id"] != gone["id"]


def test_a_cancelled_run_ends_and_no_other(stack, watched):
    is_cancelled_alone(stack, watched)


def test_also_after_the_server_was_killed(stack, watched):
    stack.kill("prefect")
    until(lambda: _answers(stack))
    is_cancelled_alone(stack, watched)


def _answers(stack) -> bool:
    try:
        return httpx.get(f"{stack.settings.prefect_address}/health").is_success
    except httpx.HTTPError:
        return False
