"""What was asked for and waits, or is being done."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType

RETRAIN = "retrain"
_OPEN = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]


def is_under_way(cause: str) -> bool:
    """Whether a retrain that a check has asked for is planned or runs.

    It may have to wait for those of other pipelines: asking again would only lengthen the queue.

    Args:
        cause: key of the check.
    """
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[RETRAIN])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_OPEN))
            ),
        )
    return any(run.parameters.get("cause") == cause for run in runs)
