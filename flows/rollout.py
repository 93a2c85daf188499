"""A version that passed its gate proves itself on live traffic, or steps back."""

from __future__ import annotations

import time
from typing import Annotated

from prefect import flow, runtime
from prefect.states import State
from pydantic import Field

from flows.names import named
from flows.outcome import explained, is_tried_too_often, notable, outcome

_WATCH_SECONDS = 900.0
"""How long one run watches; the next one goes on from the state and the log."""


@flow(name="rollout", flow_run_name=named("rollout {pipeline}"))
@explained
def rollout(
    pipeline: str,
    seconds: Annotated[float, Field(ge=0)] = _WATCH_SECONDS,
    attempt: Annotated[int, Field(ge=1)] = 1,
) -> State:
    """Take the challenger of a pipeline through its stages: shadow, canary, promotion, bake.

    Goes on from wherever an earlier run stopped. A rollout that lasts longer than one run is taken
    up by the next.

    Args:
        pipeline: Name of the pipeline.
        seconds: How long this run watches at most; 0: one look.
        attempt: Leave it at 1. It counts the tries of a run that crashed.
    """
    from tasks.approval import withdraw_questions
    from tasks.declaration import find_pipeline
    from tasks.lease import held_watch
    from tasks.rollout import next_step, wake_rollout

    if given_up := is_tried_too_often(attempt):
        return given_up
    declaration = find_pipeline(pipeline)
    name, run = declaration.spec.name, str(runtime.flow_run.name)
    until = time.monotonic() + seconds
    with held_watch(name, holder=f"{run} ({runtime.flow_run.id})"):
        taken = [next_step(declaration, run, until - time.monotonic())]
        while not taken[-1].over:
            withdraw_questions(name)
            taken.append(next_step(declaration, run, until - time.monotonic()))
    if taken[-1].in_flight:
        wake_rollout(name)
        return outcome(taken[-1].title, taken[-1].reason)
    told = taken[-2] if taken[-1].title == "Nothing to do" and len(taken) > 1 else taken[-1]
    end = notable if told.title == "Rolled back" else outcome
    return end(told.title, told.reason)
