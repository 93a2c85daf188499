"""What a person decides about a rollout, from Prefect's UI."""

from __future__ import annotations

from prefect import flow, runtime
from prefect.states import State

from flows.names import named
from flows.outcome import explained, outcome
from perennial.spec import Goal


@flow(name="rollback", flow_run_name=named("rollback {pipeline}"))
@explained
def rollback(pipeline: str, to: str | None = None, why: str = "asked for by hand") -> State:
    """Put an earlier version back at once; a rollout under way ends.

    Args:
        pipeline: Name of the pipeline.
        to: The version that shall answer, or the start of its name. Left out: a challenger on its
            way is given up, else the champion before the present one comes back.
        why: Kept in the history.
    """
    from tasks.approval import withdraw_questions
    from tasks.by_hand import put_back
    from tasks.declaration import find_pipeline

    name = find_pipeline(pipeline).spec.name
    version = put_back(name, to, why, str(runtime.flow_run.name))
    withdraw_questions(name)
    return outcome("Rolled back", f"{version} answers")


@flow(name="advance", flow_run_name=named("advance {pipeline} to {to}"))
@explained
def advance(pipeline: str, to: Goal = "promotion", why: str = "asked for by hand") -> State:
    """Take the challenger of a pipeline to a later stage at once, past what lies between.

    Guardrails and the test of its loss hold on in the stages that are left.

    Args:
        pipeline: Name of the pipeline.
        to: The stage, as far as pipeline.yaml declares it; promotion makes it champion.
        why: Kept in the history.
    """
    from perennial.rollout.stages import on_its_way, who_answers
    from tasks.approval import withdraw_questions
    from tasks.by_hand import send_on, tell_sent_on
    from tasks.declaration import find_pipeline

    declaration = find_pipeline(pipeline)
    run = str(runtime.flow_run.name)
    state = send_on(declaration, to, why, run)
    tell_sent_on(state, why, run)
    withdraw_questions(declaration.spec.name)
    if not on_its_way(state):
        return outcome("Promoted", who_answers(state))
    return outcome("Advanced", f"{state.challenger} is in its {state.stage}")


@flow(name="approve", flow_run_name=named("approve {pipeline}"))
@explained
def approve(pipeline: str, why: str = "approved of in the UI") -> State:
    """Let the challenger of a pipeline with ``approval: manual`` through to promotion.

    Args:
        pipeline: Name of the pipeline.
        why: Kept in the history.
    """
    from tasks.approval import withdraw_questions
    from tasks.by_hand import let_through
    from tasks.declaration import find_pipeline

    name = find_pipeline(pipeline).spec.name
    version = let_through(name, why, str(runtime.flow_run.name))
    withdraw_questions(name)
    return outcome("Approved", f"{version} may be promoted")
