"""Children: named beyond doubt, ended with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from perennial.local.processes import (
    STACK_ID,
    ProcessId,
    end_all,
    end_group,
    has_exited,
    listens,
    signal_group,
    spawn,
    stack_processes,
)

SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "print('ready', flush=True); time.sleep(60)"
)


@pytest.fixture
def start(tmp_path):
    children = []

    def start(code, **environment):
        child = spawn(
            [sys.executable, "-c", code],
            environment={**os.environ, **environment},
            log=tmp_path / "child.log",
            cwd=tmp_path,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        signal_group(child.pid, signal.SIGKILL)
        child.wait()


def await_true(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_is_found_by_pid_and_start(start):
    child = start(SLEEP)
    name = ProcessId.of(child.pid)
    found = name.find()
    assert found is not None
    assert found.pid == child.pid


def test_a_later_process_with_the_same_pid_is_another_one(start):
    name = ProcessId.of(start(SLEEP).pid)
    assert ProcessId(pid=name.pid, started=name.started - 1).find() is None


def test_a_dead_process_is_not_found_reaped_or_not(start):
    child = start(SLEEP)
    name = ProcessId.of(child.pid)
    child.kill()
    await_true(lambda: has_exited(child))
    assert name.find() is None
    child.wait()
    assert name.find() is None


def test_ending_a_group_takes_the_stubborn_and_their_children_along(start, tmp_path):
    child = start(STUBBORN)
    await_true(lambda: "ready" in (tmp_path / "child.log").read_text())
    grandchildren = psutil.Process(child.pid).children()
    assert len(grandchildren) == 1
    end_group(child, grace=0.2)
    assert child.returncode == -signal.SIGKILL
    await_true(lambda: not grandchildren[0].is_running())


def test_a_child_obeys_signals_that_its_parent_ignores(start):
    previous = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        child = start(SLEEP)
        end_group(child, grace=10)
        assert child.returncode == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_all_processes_of_a_stack_are_found_and_no_others(start):
    mine = start(SLEEP, **{STACK_ID: "this-test"})
    name = ProcessId.of(mine.pid)
    start(SLEEP, **{STACK_ID: "another"})
    start(SLEEP)
    await_true(lambda: [p.pid for p in stack_processes("this-test")] == [mine.pid])
    end_all(stack_processes("this-test"), grace=5)
    assert name.find() is None


@pytest.mark.skipif(sys.platform != "linux", reason="the death signal is Linux's")
def test_a_child_does_not_outlive_its_parent(tmp_path):
    program = f"""
import os, sys, time
from pathlib import Path
from perennial.local.processes import spawn
child = spawn([sys.executable, "-c", {SLEEP!r}], environment=os.environ,
              log=Path("child.log"), cwd=Path.cwd())
print(child.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = ProcessId.of(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    await_true(lambda: child.find() is None)


def test_a_listener_is_told_from_one_who_does_not_listen(start, tmp_path):
    code = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 0)); "
        "print(s.getsockname()[1], flush=True); time.sleep(60)"
    )
    listener, other = start(code), start(SLEEP)
    log = tmp_path / "child.log"
    await_true(lambda: log.read_text().strip())
    port = int(log.read_text())
    assert listens(listener.pid, [port])
    assert not listens(listener.pid, [port, 1])
    assert not listens(other.pid, [port])
