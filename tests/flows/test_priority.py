"""Who goes first."""

from __future__ import annotations

import os
import subprocess
import sys

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
