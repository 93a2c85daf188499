"""Runs whose process is gone though the server holds them for open: nobody else would end them."""

from __future__ import annotations

import socket

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import Abort
from prefect.logging import get_logger
from prefect.states import Crashed
from prefect.utilities.engine import propose_state

from worker.identity import Identity

OPEN_STATES = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]

logger = get_logger("perennial.worker")


async def crash_lost_runs(client: PrefectClient, pool: str, worker: str | None = None) -> int:
    """Report as crashed what has no process on this machine any more; say how many.

    Args:
        worker: whose runs are lost though they never had a process: at a worker's start, its own
            name, for those that its predecessor took.
    """
    open_runs = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=OPEN_STATES))
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )
    lost = [run for run in open_runs if is_lost(run, worker, socket.gethostname())]
    for run in lost:
        logger.warning("Flow run %s has lost its process: reporting it as crashed.", run.name)
        try:
            await propose_state(
                client,
                Crashed(message="Its process has ended, and nobody could say so at the time."),
                flow_run_id=run.id,
            )
        except Abort as refusal:
            logger.info("Flow run %s stays as it is: %s", run.name, refusal)
    return len(lost)


def is_lost(run: FlowRun, worker: str | None, host: str) -> bool:
    """Tell whether a run that the server holds for open has no process any more.

    A run that the worker of this name had taken but not started is lost too.
    """
    if not run.infrastructure_pid:
        return worker is not None and run.labels.get("prefect.worker.name") == worker
    try:
        identity = Identity.parse(run.infrastructure_pid)
    except ValueError:  # another worker type's
        return False
    return identity.host == host and not identity.is_alive()
