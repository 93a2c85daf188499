"""Runs that were lost with an earlier worker: nobody else would ever end them."""

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


async def crash_lost_runs(client: PrefectClient, pool: str, worker: str) -> int:
    """Report as crashed what this worker's predecessor on this machine left open; say how many."""
    open_runs = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=OPEN_STATES))
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
    )
    lost = [run for run in open_runs if is_lost(run, worker, socket.gethostname())]
    for run in lost:
        logger.warning("Flow run %s was lost with its worker: reporting it as crashed.", run.name)
        try:
            await propose_state(
                client,
                Crashed(message="Its process ended together with its worker."),
                flow_run_id=run.id,
            )
        except Abort as refusal:
            logger.info("Flow run %s stays as it is: %s", run.name, refusal)
    return len(lost)


def is_lost(run: FlowRun, worker: str, host: str) -> bool:
    """Tell whether a run that the server holds for open has no process any more.

    A run that the worker of this name had taken but not started is lost too.
    """
    if not run.infrastructure_pid:
        return bool(run.labels) and run.labels.get("prefect.worker.name") == worker
    try:
        identity = Identity.parse(run.infrastructure_pid)
    except ValueError:  # another worker type's
        return False
    return identity.host == host and not identity.is_alive()
