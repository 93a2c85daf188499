"""Which runs go first on a machine that has much to do."""

from __future__ import annotations

import os
import time

from prefect.logging import get_logger

_NICENESS = 15
_HEAD_START = 0.5
"""Seconds; a heal is at its first task in less."""
_RUN_OF_A_WORKER = "PREFECT__FLOW_RUN_ID"
logger = get_logger("perennial.flows")


def step_back(*, heal_begins: bool) -> None:
    """Let all other processes go first from here on: nobody waits for what is left to do.

    Only in a process that a worker has started for this run, which ends with it.

    Args:
        heal_begins: whether one has just been asked for. It needs Prefect's server, which does one
            thing after the other, to begin; the pictures that are left can be sent half a second
            later.
    """
    if _RUN_OF_A_WORKER not in os.environ:
        return
    try:
        os.nice(_NICENESS)
    except OSError as error:  # no reason for a look to fail
        logger.warning("this run keeps its priority: %s", error)
    if heal_begins:
        time.sleep(_HEAD_START)
