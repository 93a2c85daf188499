"""stack.json, and the lock that tells whether a supervisor lives."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from perennial.local.processes import ProcessId
from perennial.local.state import PartState, StackFiles, StackState


@pytest.fixture
def files(tmp_path):
    files = StackFiles(tmp_path / "stack")
    files.make()
    return files


def test_the_state_is_read_as_it_was_written(files):
    assert files.read_state() is None
    state = StackState(
        id="abc",
        project=files.directory,
        worker="fork",
        supervisor=ProcessId.of(os.getpid()),
        phase="up",
        moved={"prefect": (4200, 41000)},
        parts=(
            PartState(
                name="store",
                title="the store",
                url="http://127.0.0.1:1",
                health_url=None,
                log=files.logs / "store.log",
                process=ProcessId(pid=1, started=2.0),
            ),
        ),
    )
    files.write_state(state)
    assert files.read_state() == state
    files.forget()
    assert files.read_state() is None


def test_the_directory_is_its_owners_alone(files):
    assert files.directory.stat().st_mode & 0o777 == 0o700


def test_only_one_supervisor_at_a_time_until_it_ends_however_it_ends(files):
    assert not files.is_supervised()
    program = (
        "import sys, time; from pathlib import Path; "
        "from perennial.local.state import StackFiles; "
        "assert StackFiles(Path(sys.argv[1])).take_lock(); print('held', flush=True); "
        "time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(files.directory)], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert files.is_supervised()
        assert not files.take_lock(patience=0.05)
    finally:
        holder.kill()
        holder.communicate()
    assert not files.is_supervised()
