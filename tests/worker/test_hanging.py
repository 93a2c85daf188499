"""Which children hang, and that they are killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from types import SimpleNamespace

import pytest
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Crashed, Paused, Pending, Running

from worker.hanging import BEGIN_WITHIN, END_WITHIN, Child, Children
from worker.identity import Identity


@pytest.fixture
def process():
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    yield child
    child.kill()
    child.wait()


@pytest.mark.parametrize(
    ("state", "after", "hangs"),
    [
        (Pending(), BEGIN_WITHIN - 1, False),
        (Pending(), BEGIN_WITHIN + 1, True),
        (Running(), 10 * BEGIN_WITHIN, False),
        (Paused(), 10 * BEGIN_WITHIN, False),
    ],
)
def test_a_flow_has_so_long_to_begin(state, after, hangs):
    child = Child(Identity.of(1), forked=100.0)
    assert bool(child.fault(state, 100.0 + after)) is hangs


@pytest.mark.parametrize("state", [Completed(), Crashed(), None])
def test_a_process_has_so_long_to_end_once_its_run_is_over(state):
    child = Child(Identity.of(1), forked=0.0)
    assert child.fault(state, 1000.0) is None
    assert child.fault(state, 1000.0 + END_WITHIN - 1) is None
    assert "without it" in child.fault(state, 1000.0 + END_WITHIN + 1)


def test_a_run_that_is_tried_again_counts_anew():
    child = Child(Identity.of(1), forked=0.0)
    child.fault(Crashed(), 1000.0)
    child.fault(Running(), 1010.0)
    assert child.fault(Crashed(), 1000.0 + END_WITHIN + 1) is None


def server(state):
    """A Prefect client that knows one state of every run; None: no run at all."""

    async def read_flow_run(run):
        if state is None:
            raise ObjectNotFound(None)
        return SimpleNamespace(state=state)

    return SimpleNamespace(read_flow_run=read_flow_run)


def test_who_hangs_is_killed_and_nobody_else(process):
    now = [0.0]
    children = Children(clock=lambda: now[0])
    run = uuid.uuid4()
    children.add(run, Identity.of(process.pid))
    now[0] = BEGIN_WITHIN + 1
    assert asyncio.run(children.end_hanging(server(Running()))) == 0
    assert process.poll() is None
    assert asyncio.run(children.end_hanging(server(Pending()))) == 1
    assert process.wait(10) == -9
    assert asyncio.run(children.end_hanging(server(Pending()))) == 0
    children.remove(run)


def test_of_a_run_that_was_deleted_the_process_is_ended_too(process):
    now = [0.0]
    children = Children(clock=lambda: now[0])
    children.add(uuid.uuid4(), Identity.of(process.pid))
    assert asyncio.run(children.end_hanging(server(None))) == 0
    now[0] = END_WITHIN + 1
    assert asyncio.run(children.end_hanging(server(None))) == 1
