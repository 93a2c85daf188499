"""Who goes first."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from flows import priority

ASKED = (
    "import os; from flows.priority import step_back; "
    "step_back(heal_begins=False); print(os.nice(0))"
)


def test_a_process_of_a_worker_steps_back_and_no_other_does() -> None:
    for run, expected in (({"PREFECT__FLOW_RUN_ID": "x"}, os.nice(0) + 15), ({}, os.nice(0))):
        environ = {**os.environ, **run}
        done = subprocess.run(
            [sys.executable, "-c", ASKED], env=environ, capture_output=True, text=True, check=True
        )
        assert int(done.stdout) == min(expected, 19)


@pytest.mark.parametrize(("begins", "waits"), [(True, [0.5]), (False, [])])
def test_a_heal_that_was_asked_for_is_given_a_head_start(monkeypatch, begins, waits) -> None:
    waited: list[float] = []
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "x")
    monkeypatch.setattr(priority.os, "nice", lambda _: 15)
    monkeypatch.setattr(priority.time, "sleep", waited.append)
    priority.step_back(heal_begins=begins)
    assert waited == waits
