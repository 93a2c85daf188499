"""Which runs go first on a machine that has much to do."""

from __future__ import annotations

import os
from contextlib import suppress

_NICENESS = 15
_RUN_OF_A_WORKER = "PREFECT__FLOW_RUN_ID"


def step_back() -> None:
    """Let all other processes go first from here on: nobody waits for what is left to do.

    Only in a process that a worker has started for this run, which ends with it.
    """
    if _RUN_OF_A_WORKER in os.environ:
        with suppress(OSError):  # where a sandbox forbids it, it is no reason to fail
            os.nice(_NICENESS)
