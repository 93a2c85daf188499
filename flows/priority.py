"""Which runs go first on a machine that has much to do."""

from __future__ import annotations

import os

from prefect.logging import get_logger

_NICENESS = 15
_RUN_OF_A_WORKER = "PREFECT__FLOW_RUN_ID"
logger = get_logger("perennial.flows")


def step_back() -> None:
    """Let all other processes go first from here on: nobody waits for what is left to do.

    Only in a process that a worker has started for this run, which ends with it.
    """
    if _RUN_OF_A_WORKER not in os.environ:
        return
    try:
        os.nice(_NICENESS)
    except OSError as error:  # no reason for a look to fail
        logger.warning("this run keeps its priority: %s", error)
