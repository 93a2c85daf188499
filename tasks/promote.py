"""Make the challenger champion."""

from __future__ import annotations

from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.registry import change_state, new_entry, read_manifest, read_state
from perennial.registry.state import State
from perennial.rollout.promotion import promote
from tasks import events
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.step import step


class Promotion(BaseModel):
    """What a promotion did."""

    pipeline: str
    version: str | None
    previous: str | None
    changed: bool


@step(retries=3, retry_delay_seconds=2)
def promote_challenger(pipeline: str, run: str) -> Promotion:
    """Swap ``state.json`` so that the waiting challenger answers.

    Repeats safely: a challenger that is champion already changes nothing.

    Raises:
        LeaseLost: the pipeline was changed under a newer lease than the challenger's.
    """
    before = read_state(store(), pipeline).state
    if before.challenger is None:
        return Promotion(
            pipeline=pipeline, version=before.champion, previous=before.previous, changed=False
        )
    manifest = read_manifest(store(), pipeline, before.challenger)
    entry = new_entry(
        "rollout.promoted",
        version=manifest.version,
        reason="passed its gate",
        by=run,
        cause=manifest.lineage.cause,
        details={"previous": before.champion},
    )
    after = change_state(
        store(), pipeline, lambda now: promote(now, manifest.version), entry, fence=manifest.fence
    )
    _tell(pipeline, after)
    return Promotion(
        pipeline=pipeline, version=after.champion, previous=after.previous, changed=True
    )


def _tell(pipeline: str, state: State) -> None:
    get_run_logger().info("%s answers for %s now", state.champion, pipeline)
    events.emit(events.PROMOTED, pipeline, {"version": state.champion, "previous": state.previous})
    rows = [["champion", state.champion], ["previous", state.previous or "none"]]
    publish("rollout", pipeline, table(["", "version"], rows), description=str(state.champion))
