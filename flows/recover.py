"""Put right what a kill left behind."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from prefect.states import State
from pydantic import Field

from flows.outcome import explained, outcome


@flow(name="recover", flow_run_name="recover")
@explained
def recover(
    silent_seconds: Annotated[int, Field(ge=60)] = 90, hours: Annotated[float, Field(gt=0)] = 1.0
) -> State:
    """Find runs whose process is gone, and go on with what they had begun.

    A run that was alive and has not been heard of is reported as crashed. Crashed runs that may be
    repeated are started again, twice at most. A lease whose holder has ended is given back. Forms
    offer the pipelines that have been declared meanwhile, and the monitor has their schedules, also
    after Prefect's database was made anew. Safe beside everything, and itself.

    Args:
        silent_seconds: A run is given up after so long without a heartbeat; three of them.
        hours: Runs that crashed longer ago are left alone.
    """
    from tasks.declaration import keep_deployments
    from tasks.recover import crash_silent_runs, free_leases, go_on_with_crashed_runs, tell

    lost = crash_silent_runs(silent_seconds)
    again = go_on_with_crashed_runs(hours)
    leases = free_leases()
    keep_deployments()
    if not (lost or again or leases):
        return outcome("Nothing to do", "no run was silent, none had crashed")
    tell(lost, again, leases)
    return outcome(
        "Recovered",
        f"{len(lost)} silent runs reported as crashed, {len(again)} started again, "
        f"{len(leases)} leases given back",
    )
