"""The questions that wait in Prefect's UI for a person: may this challenger be promoted?

A question is a suspended run of the flow ``approval``. It holds no process, and may stay for days.
What counts is state.json, where the answer may come from elsewhere too.
"""

from __future__ import annotations

from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.logging import get_run_logger
from prefect.states import Completed

from perennial.registry import State, read_state
from perennial.rollout import moves
from tasks import events
from tasks.connection import store
from tasks.notify import notify
from tasks.step import may_pass, step

FLOW = "approval"


def waits_for_approval(state: State, version: str) -> bool:
    """Whether it still matters what a person says about a version."""
    return state.challenger == version and state.approved != version


def find_questions(pipeline: str) -> list[FlowRun]:
    """The questions about a pipeline that nobody has answered."""
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
            ),
        )
    return [run for run in runs if run.parameters.get("pipeline") == pipeline]


def is_to_be_asked(pipeline: str, version: str) -> bool:
    """Whether a question has to be put: the version waits, and no run asks about it."""
    if not waits_for_approval(read_state(store(), pipeline).state, version):
        return False
    return all(run.parameters.get("version") != version for run in find_questions(pipeline))


check_question = step(retries=3, retry_delay_seconds=1, retry_condition_fn=may_pass)(is_to_be_asked)


@step(retries=3, retry_delay_seconds=1, retry_condition_fn=may_pass)
def take_answer(pipeline: str, version: str, yes: bool, why: str, run: str) -> None:
    """Let a challenger through to promotion, or give it up.

    Raises:
        SpecError: it is not the challenger any more.
    """
    if yes:
        moves.approve(store(), pipeline, version=version, by=run, why=why)
        events.emit(events.ROLLOUT_CONTINUES, pipeline, {"version": version})
        return
    state = moves.give_up(store(), pipeline, version, by=run, why=why)
    payload = {"version": version, "champion": state.champion, "reason": why}
    events.emit(events.ROLLED_BACK, pipeline, payload)
    notify(pipeline, f"{version} was given up", f"{why} ({run})")


@step(retries=3, retry_delay_seconds=1, retry_condition_fn=may_pass)
def withdraw_questions(pipeline: str) -> None:
    """End the questions whose answer came from elsewhere, or matters no more."""
    state = read_state(store(), pipeline).state
    for run in find_questions(pipeline):
        version = run.parameters.get("version")
        if version is None or waits_for_approval(state, version):
            continue
        message = (
            f"{version} was approved of"
            if state.approved == version
            else (f"{version} waits no more; {state.champion} answers")
        )
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, _withdrawn(message), force=True)
        get_run_logger().info("question %s withdrawn: %s", run.name, message)


def _withdrawn(message: str) -> Any:
    return Completed(name="Withdrawn", message=message)
