"""Which runs were lost with their worker."""

from __future__ import annotations

import os
import socket
import uuid

import pytest
from prefect.client.schemas.objects import FlowRun

from perennial.local.processes import ProcessId
from worker.identity import Identity
from worker.recovery import is_lost

HOST = "here"


def run(pid=None, worker=None):
    labels = {} if worker is None else {"prefect.worker.name": worker}
    return FlowRun(id=uuid.uuid4(), flow_id=uuid.uuid4(), infrastructure_pid=pid, labels=labels)


def alive():
    return ProcessId.of(os.getpid())


def dead():
    return ProcessId(pid=os.getpid(), started=alive().started - 1)


def test_an_identity_survives_being_written_down():
    mine = Identity.of(os.getpid())
    assert mine.host == socket.gethostname()
    assert mine.is_alive()
    assert Identity.parse(str(mine)) == mine


def test_a_process_that_has_ended_is_nobody():
    assert not Identity.of(2**22 + 1).is_alive()


@pytest.mark.parametrize("text", ["", "123", "here:x:1.0", "here:1:y"])
def test_what_another_worker_type_wrote_is_no_identity(text):
    with pytest.raises(ValueError):  # noqa: PT011 -- whichever of the conversions fails
        Identity.parse(text)


def test_a_run_is_lost_when_its_process_is():
    assert is_lost(run(str(Identity(HOST, dead()))), "w", HOST)
    assert not is_lost(run(str(Identity(HOST, alive()))), "w", HOST)


def test_a_run_elsewhere_or_of_another_worker_type_is_not_ours_to_judge():
    assert not is_lost(run(str(Identity("there", dead()))), "w", HOST)
    assert not is_lost(run("4711"), "w", HOST)


def test_a_run_that_was_taken_and_never_started_is_lost_with_its_taker():
    assert is_lost(run(worker="w"), "w", HOST)
    assert not is_lost(run(worker="other"), "w", HOST)
    assert not is_lost(run(), "w", HOST)


def test_what_the_worker_itself_has_just_taken_is_not_lost():
    assert not is_lost(run(worker="w"), None, HOST)
    assert not is_lost(run(), None, HOST)
    assert is_lost(run(str(Identity(HOST, dead())), worker="w"), None, HOST)
