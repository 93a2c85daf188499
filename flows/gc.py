"""Keep the store small: what nobody needs any more is removed."""

from prefect import flow, runtime
from prefect.states import Failed, State

from flows.names import of_pipeline
from flows.outcome import explained, outcome
from perennial.errors import LeaseHeld


@flow(name="gc", flow_run_name=of_pipeline)
@explained
def gc(pipeline: str | None = None, dry_run: bool = False) -> State:
    """Remove versions, refused candidates and snapshots whose time is over.

    What is live, pinned, referred to, or younger than a day never goes. A pipeline that a retrain
    is changing is left for the next run.

    Args:
        pipeline: Name of the pipeline. Left out: all of them.
        dry_run: Only say what would go.
    """
    from tasks.declaration import find_pipelines
    from tasks.each import for_each
    from tasks.gc import sweep_pipeline
    from tasks.lease import held_lease

    run = str(runtime.flow_run.name)

    def sweep_one(name: str) -> str:
        try:
            if dry_run:
                done = sweep_pipeline(name, None, run)
            else:
                with held_lease(name, holder=f"{run} ({runtime.flow_run.id})") as lease:
                    done = sweep_pipeline(name, lease, run)
        except LeaseHeld as error:
            return f"{name}: left alone, {error}"
        return f"{name}: {done.objects} objects, {done.versions} versions"

    told, aside = for_each([pipeline] if pipeline is not None else find_pipelines(), sweep_one)
    if aside:
        return Failed(message="; ".join([*map(str, aside), *told]))
    return outcome("Would sweep" if dry_run else "Swept", "; ".join(told) or "no pipeline is there")
