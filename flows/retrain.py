"""From labelled rows to a registered version, and the first step of its rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from prefect import Flow, flow, runtime
from prefect.client.schemas.objects import FlowRun
from prefect.states import State
from pydantic import Field

from flows.names import with_reason
from flows.outcome import explained, is_tried_too_often, notable, outcome
from perennial.spec import Depth

if TYPE_CHECKING:
    from perennial.loop.request import RetrainRequest
    from perennial.registry import Declaration


def _tell_failed(of: Flow[Any, Any], run: FlowRun, state: State[Any]) -> None:
    from tasks.tell_failed import tell_failed

    tell_failed(of, run, state)


@flow(name="retrain", flow_run_name=with_reason, on_failure=[_tell_failed])
@explained
def retrain(
    pipeline: str,
    reason: str = "asked for by hand",
    depth: Depth = "retrain",
    span: Annotated[int, Field(ge=1)] | None = None,
    cause: str | None = None,
    attempt: Annotated[int, Field(ge=1)] = 1,
) -> State:
    """Heal a pipeline's model: make a new version and register it, if it passes its gate.

    Its rollout begins at once: what waits for nothing is done here, and what has to be watched is
    left to a run of the flow rollout.

    Args:
        pipeline: Name of the pipeline.
        reason: Why, in words; it is kept in the version's lineage.
        depth: retrain: train new models beside the first one, or begin anew where what is declared
            of the model or its features has changed. correct: fit small models of the newest rows
            anew, and weigh all of them.
        span: Newest labelled rows that small models are fitted on. Left out: five windows, more
            where labels are late.
        cause: Leave it empty. The monitor puts here the key of the check that asks for this run.
        attempt: Leave it at 1. It counts the tries of a run that crashed.
    """
    from perennial.loop.request import RetrainRequest
    from perennial.store.lease import utc_now
    from tasks.declaration import find_pipeline
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
    if begun is None:
        return ended
    return ended.model_copy(update={"message": f"{ended.message}; {begun}"})


def _heal(declaration: Declaration, request: RetrainRequest) -> State:
    from perennial.datasets.dates import in_words
    from tasks.candidate import divide_snapshot, judge_candidate, make_candidate
    from tasks.lease import held_lease
    from tasks.register import (
        is_answered,
        refuse_candidate,
        refuse_untried,
        register_candidate,
    )
    from tasks.sound import snapshot_sound_rows, tell_held

    name = declaration.spec.name
    with held_lease(name, holder=f"{request.run} ({runtime.flow_run.id})") as lease:
        if is_answered(name, request):
            asked = in_words(str(request.window))
            return outcome("Answered already", f"a retrain has answered {asked}")
        sound = snapshot_sound_rows(declaration, request.cause)
        if sound.report.held:
            return notable("Held", tell_held(sound, request))
        declaration = sound.declaration
        divided = divide_snapshot(declaration, sound.snapshot, request)
        if divided.rows.refusal is not None:
            refuse_untried(lease, divided.rows.refusal, request)
            return notable("Refused", divided.rows.refusal)
        candidate = make_candidate(declaration, divided, request)
        if candidate.refusal is not None:
            refuse_untried(lease, candidate.refusal, request)
            return notable("Refused", candidate.refusal)
        judgement = judge_candidate(declaration, divided, candidate, sound.later)
        if not judgement.passed:
            refuse_candidate(lease, sound, candidate, judgement, request)
            return notable("Refused", judgement.decision.reason)
        made = register_candidate(lease, sound, candidate, judgement, request)
        return outcome("Registered", f"{made.version}: {judgement.decision.reason}")
