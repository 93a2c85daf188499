"""Ask a person about a challenger, in Prefect's UI."""

from __future__ import annotations

from typing import Literal

from prefect import flow, runtime
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.states import State
from pydantic import Field

from flows.names import named
from flows.outcome import explained, outcome
from tasks.approval import FLOW, check_question, take_answer


class Approval(RunInput):
    """The form."""

    answer: Literal["yes", "no"] = Field(
        description="yes: it may be promoted; guardrails and the test of its loss hold on. "
        "no: it is given up, and the champion stays."
    )
    reason: str = Field(default="", description="Kept in the history.")


@flow(name=FLOW, flow_run_name=named("approval of {version} of {pipeline}"))
@explained
def approval(pipeline: str, version: str, reason: str = "") -> State:
    """Wait, suspended, until a person says whether a challenger may be promoted.

    Started by a rollout with ``approval: manual``. The form is behind the run's Resume button. The
    deployment `approve` and the command `perennial approve` answer as well, and end this run.

    Args:
        pipeline: Name of the pipeline.
        version: The challenger.
        reason: Why it could be promoted.
    """
    if not _is_resumed() and not check_question(pipeline, version):
        return outcome("Not asked", f"{version} is answered for, or another run asks about it")
    form = Approval.with_initial_data(
        description=f"May **{version}** become the champion of **{pipeline}**? {reason}"
    )
    said = suspend_flow_run(wait_for_input=form, key=version)
    yes = said.answer == "yes"
    why = said.reason or f"answered with {said.answer} in the UI"
    take_answer(pipeline, version, yes, why, str(runtime.flow_run.name))
    return outcome("Approved" if yes else "Given up", f"{version}: {why}")


def _is_resumed() -> bool:
    """Whether this run has asked already, and goes on with the answer."""
    return int(runtime.flow_run.run_count) > 1
