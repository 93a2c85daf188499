"""From labelled rows to a registered version, and the first step of its rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from prefect import Flow, flow, runtime
from prefect.client.schemas.objects import FlowRun
from prefect.states import State
from pydantic import Field

from flows.names import with_reason
from flows.outcome import explained, is_tried_too_often, outcome
from perennial.spec import Cure

if TYPE_CHECKING:
    from perennial.registry import Declaration
    from tasks.register import RetrainRequest


def _tell_failed(of: Flow[Any, Any], run: FlowRun, state: State[Any]) -> None:
    from tasks.tell_failed import tell_failed

    tell_failed(of, run, state)


@flow(name="retrain", flow_run_name=with_reason, on_failure=[_tell_failed])
@explained
def retrain(
    pipeline: str,
    reason: str = "asked for by hand",
    cause: str | None = None,
    depth: Cure = "retrain",
    span: Annotated[int, Field(ge=1)] | None = None,
    attempt: Annotated[int, Field(ge=1)] = 1,
) -> State:
    """Heal a pipeline's model: make a new version and register it, if it passes its gate.

    Its rollout begins at once: what waits for nothing is done here, and what has to be watched is
    left to a run of the flow rollout.

    Args:
        pipeline: Name of the pipeline, or the folder of its pipeline.yaml.
        reason: Why, in words; it is kept in the version's lineage.
        cause: Key of the check that asks for it, if one does.
        depth: retrain trains a new model; recalibrate maps the champion's output, correct adds a
            small residual model to it; unhead takes such a head off again.
        span: Newest labelled rows that a head is fitted on. Left out: up to five windows.
        attempt: Which try this is; a run that crashed is started again a few times.
    """
    from perennial.store.lease import utc_now
    from tasks.declaration import find_pipeline
    from tasks.register import RetrainRequest
    from tasks.rollout import begin_rollout

    if given_up := is_tried_too_often(attempt):
        return given_up
    run = str(runtime.flow_run.name)
    request = RetrainRequest(
        reason=reason, cause=cause, run=run, started_at=utc_now(), depth=depth, span=span
    )
    declaration = find_pipeline(pipeline)
    ended = _heal(declaration, request)
    begun = begin_rollout(declaration, run)
    return ended if begun is None else outcome(str(ended.name), f"{ended.message}; {begun}")


def _heal(declaration: Declaration, request: RetrainRequest) -> State:
    from tasks.gate import judge_candidate
    from tasks.heal import heal_champion
    from tasks.lease import held_lease
    from tasks.register import is_answered, refuse_candidate, register_candidate
    from tasks.train import train_candidate
    from tasks.validate import snapshot_sound_rows, tell_held

    name = declaration.spec.name
    with held_lease(name, holder=f"{request.run} ({runtime.flow_run.id})") as lease:
        if is_answered(name, request):
            return outcome("Answered already", f"a retrain has answered window {request.window}")
        sound = snapshot_sound_rows(declaration)
        if sound.report.held:
            return outcome("Held", tell_held(sound, request.cause))
        declaration, snapshot = sound.declaration, sound.snapshot
        if request.depth == "retrain":
            candidate = train_candidate(declaration, snapshot)
        else:
            candidate = heal_champion(declaration, snapshot, request)
        gate = judge_candidate(declaration, snapshot, candidate, sound.later)
        if not gate.passed:
            refuse_candidate(declaration, lease, snapshot, candidate, gate, request)
            return outcome("Refused", gate.decision.reason)
        register_candidate(declaration, lease, snapshot, candidate, gate, request)
        return outcome("Registered", f"{candidate.version}: {gate.decision.reason}")
