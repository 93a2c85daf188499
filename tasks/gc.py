"""Remove the versions, candidates and snapshots whose time is over."""

from __future__ import annotations

from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.registry import find_declaration
from perennial.registry.sweep import Sweep, plan_sweep, sweep
from perennial.spec import Retention
from perennial.store import Lease
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.step import step


class Swept(BaseModel):
    """What a sweep came to, or would come to."""

    versions: int
    objects: int
    bytes: int


@step(retries=1, retry_delay_seconds=2)
def sweep_pipeline(pipeline: str, lease: Lease | None, run: str) -> Swept:
    """Plan a sweep and, with the pipeline's lease, carry it out.

    Raises:
        ModelError: a manifest was altered or damaged: nothing is removed.
        LeaseLost: another run may change this pipeline by now.
    """
    declaration = find_declaration(store(), pipeline)
    retention = Retention() if declaration is None else declaration.spec.retention
    plan = plan_sweep(store(), pipeline, retention)
    removed = 0 if lease is None else sweep(store(), plan, lease, by=run)
    done = Swept(
        versions=len(plan.versions),
        objects=len(plan.objects) if lease is None else removed,
        bytes=plan.size,
    )
    get_run_logger().info("%s: %d objects, %d bytes", pipeline, done.objects, done.bytes)
    _publish(plan, carried_out=lease is not None)
    return done


def _publish(plan: Sweep, *, carried_out: bool) -> None:
    rows = [(version, "goes", why) for version, why in plan.versions.items()]
    rows += [(f"snapshot {name[:12]}", "goes", "no version needs it") for name in plan.snapshots]
    rows += [(version, "stays", why) for version, why in plan.kept.items()]
    text = table(["what", "", "why"], rows)
    publish("gc", plan.pipeline, text, description="removed" if carried_out else "dry run")
