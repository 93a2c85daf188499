"""A version that passed its gate takes over."""

from __future__ import annotations

from prefect import flow, runtime
from prefect.states import State

from flows.outcome import explained, outcome
from tasks.declaration import find_pipeline
from tasks.promote import promote_challenger


@flow(name="rollout", flow_run_name="rollout {pipeline}")
@explained
def rollout(pipeline: str) -> State:
    """Make the challenger of a pipeline its champion.

    Args:
        pipeline: Name of the pipeline, or the folder of its pipeline.yaml.
    """
    declaration = find_pipeline(pipeline)
    promotion = promote_challenger(declaration.spec.name, str(runtime.flow_run.name))
    if not promotion.changed:
        return outcome("Nothing to do", f"no challenger waits; {promotion.version} answers")
    return outcome("Promoted", f"{promotion.version} answers, {promotion.previous} before it")
