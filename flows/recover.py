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
    after Prefect's database was made anew. A pipeline for which that is not possible is set aside
    with its reason, and the others go on. Once a day the store is tried by many writers at once.
    Safe beside everything, and itself.

    Args:
        silent_seconds: A run is given up after so long without a heartbeat; three of them.
        hours: Runs that crashed longer ago are left alone.
    """
    from tasks.declaration import keep_deployments
    from tasks.look import tell_stopped_monitors
    from tasks.recover import (
        crash_silent_runs,
        free_leases,
        go_on_with_crashed_runs,
        tell,
        try_store,
    )

    lost = crash_silent_runs(silent_seconds)
    again = go_on_with_crashed_runs(hours)
    leases, unread = free_leases()
    unkept, unseen = keep_deployments(), tell_stopped_monitors()
    aside = [*{one.pipeline: one for one in (*unseen, *unread, *unkept)}.values()]
    try_store()
    if not (lost or again or leases or aside):
        return outcome("Nothing to do", "no run was silent, none had crashed")
    tell(lost, again, leases, aside)
    done = (
        f"{len(lost)} silent runs reported as crashed, {len(again)} started again, "
        f"{len(leases)} leases given back"
    )
    if aside:
        named = "; ".join(map(str, aside))
        return outcome("Set aside", f"{len(aside)} of the pipelines: {named}. {done}")
    return outcome("Recovered", done)
