"""Runs without a process, runs that crashed, leases without a holder."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from prefect import runtime
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.logging import get_run_logger
from prefect.states import AwaitingRetry, Crashed
from pydantic import BaseModel

from perennial.errors import LeaseHeld, LeaseLost
from perennial.registry import known_pipelines
from perennial.store import acquire_lease, layout, race_daily, read_record
from perennial.store.lease import LeaseRecord, utc_now
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.each import SetAside, for_each
from tasks.lease import has_ended
from tasks.step import step

TAG = "perennial"
"""Of every deployment in prefect.yaml, and of its runs."""
REPEATABLE = {"score", "backtest", "validate", "compact", "gc"}
"""Deployments whose runs go on where they were, or may begin anew. A retrain and a rollout have
triggers of their own, a monitor its schedule, and what a person decided is not done twice."""
ATTEMPTS = 3
HEARTBEAT = "prefect.flow-run.heartbeat"
_OPEN = [StateType.RUNNING, StateType.CANCELLING]


class Found(BaseModel):
    """A run, or a lease, that needed help."""

    name: str
    why: str


@step(retries=2, retry_delay_seconds=2)
def try_store() -> None:
    """Once a day, see that of many writers at once just one wins: a store may be changed or
    updated.

    Raises:
        StoreError: several did.
    """
    if race_daily(store(), utc_now()):
        get_run_logger().info("of many writers at once the store let one win, as it must")


@step(retries=2, retry_delay_seconds=2)
def crash_silent_runs(silent_seconds: int) -> list[Found]:
    """Report as crashed the runs that were heard of once and not for ``silent_seconds``.

    A run without any heartbeat is left alone: whoever started it has not switched them on.
    """
    found = []
    with get_client(sync_client=True) as client:
        for run in _runs(client, FlowRunFilterStateType(any_=_OPEN)):
            heard = _last_heard(client, run.id)
            if heard is None or (utc_now() - heard).total_seconds() < silent_seconds:
                continue
            why = f"not heard of since {heard:%H:%M:%S} UTC: its process is gone"
            found.append(_move(client, run, Crashed(message=why)))
    return found


@step(retries=2, retry_delay_seconds=2)
def go_on_with_crashed_runs(hours: float) -> list[Found]:
    """Start crashed runs again under their own name, `ATTEMPTS` times in all."""
    since = utc_now() - timedelta(hours=hours)
    found = []
    with get_client(sync_client=True) as client:
        deployments = {d.id: d.name for d in client.read_deployments()}
        for run in _runs(client, FlowRunFilterStateType(any_=[StateType.CRASHED]), since):
            name = deployments.get(run.deployment_id) if run.deployment_id else None
            if name not in REPEATABLE or run.run_count >= ATTEMPTS:
                continue
            why = f"crashed in attempt {run.run_count} of {ATTEMPTS}"
            found.append(_move(client, run, AwaitingRetry(message=why)))
    return found


@step(retries=2, retry_delay_seconds=2)
def free_leases() -> tuple[list[Found], list[SetAside]]:
    """Give back leases whose holder has ended: the next run need not wait until they run out.

    Returns:
        Those that were given back, and pipelines whose leases cannot be read.
    """
    found, aside = for_each(known_pipelines(store(), demos=True), _free_leases_of)
    return [lease for leases in found for lease in leases], aside


def _free_leases_of(pipeline: str) -> list[Found]:
    found = []
    for key_of in (layout.lease, layout.look_lease, layout.rollout_lease):
        key = key_of(pipeline)
        held = store().find(key)
        if held is None:
            continue
        record = read_record(LeaseRecord, held)
        if record.released or not has_ended(record.holder):
            continue
        try:
            acquire_lease(store(), pipeline, record.holder, key=key).release()
        except (LeaseHeld, LeaseLost):  # somebody was faster
            continue
        found.append(Found(name=key, why=f"{record.holder} has ended"))
    return found


def tell(lost: list[Found], again: list[Found], leases: list[Found], aside: list[SetAside]) -> None:
    """Show what was done, and what could not be."""
    rows = [(f.name, "reported as crashed", f.why) for f in lost]
    rows += [(f.name, "started again", f.why) for f in again]
    rows += [(f.name, "given back", f.why) for f in leases]
    rows += [(one.pipeline, "set aside", one.why) for one in aside]
    publish("recover", "runs", table(["what", "", "why"], rows), description=f"{len(rows)}")


def _runs(
    client: SyncPrefectClient, state: FlowRunFilterStateType, ended_since: datetime | None = None
) -> list[FlowRun]:
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[TAG]),
            state=FlowRunFilterState(type=state),
            end_time=FlowRunFilterEndTime(after_=ended_since) if ended_since else None,
        )
    )
    return [run for run in runs if str(run.id) != str(runtime.flow_run.id)]


def _move(client: SyncPrefectClient, run: FlowRun, state: State) -> Found:
    client.set_flow_run_state(run.id, state)
    get_run_logger().warning("%s is %s now: %s", run.name, state.name, state.message)
    return Found(name=run.name, why=str(state.message))


def _last_heard(client: SyncPrefectClient, run: UUID) -> datetime | None:
    asked = {
        "filter": {
            "event": {"name": [HEARTBEAT]},
            "resource": {"id": [f"prefect.flow-run.{run}"]},
            "order": "DESC",
        },
        "limit": 1,
    }
    answer = client.request("POST", "/events/filter", json=asked).raise_for_status().json()
    events = answer["events"]
    return datetime.fromisoformat(events[0]["occurred"]) if events else None
