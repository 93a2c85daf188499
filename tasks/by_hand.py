"""What a person decides about a rollout."""

from __future__ import annotations

from prefect.logging import get_run_logger

from perennial.registry import Declaration, State
from perennial.rollout import moves
from perennial.rollout.stages import in_flight, on_its_way
from perennial.spec import Goal
from tasks import events
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.notify import notify
from tasks.step import may_pass, step


@step(retries=3, retry_delay_seconds=1, retry_condition_fn=may_pass)
def put_back(pipeline: str, to: str | None, why: str, run: str) -> str:
    """Make an earlier version champion at once, and return it.

    Raises:
        SpecError: there is no such version, or none to go back to.
    """
    state, given_up = moves.put_back(store(), pipeline, to=to, why=why, by=run)
    get_run_logger().info("%s answers for %s now", state.champion, pipeline)
    payload = {"version": given_up, "champion": state.champion, "reason": why}
    events.emit(events.ROLLED_BACK, pipeline, payload)
    lineup = [("answers", state.champion), ("before it", state.previous or "none"), ("why", why)]
    publish("rollback", pipeline, table(["", pipeline], lineup), description=str(state.champion))
    notify(pipeline, f"back to {state.champion}", f"{why} ({run})")
    return str(state.champion)


@step(retries=3, retry_delay_seconds=1, retry_condition_fn=may_pass)
def send_on(declaration: Declaration, to: Goal, why: str, run: str) -> State:
    """Take the challenger to a later stage, and return the state.

    Raises:
        SpecError: there is no challenger, or no such stage ahead of it.
    """
    spec = declaration.spec
    return moves.send_on(store(), spec.name, to, spec.rollout, by=run, why=why)


@step(retries=3, retry_delay_seconds=1)
def tell_sent_on(state: State, why: str, run: str) -> None:
    """Say what came of `send_on`, and have what is left of the rollout, or the next one, watched.

    A step of its own: the challenger cannot be taken on twice.
    """
    pipeline = state.pipeline
    if not on_its_way(state):
        payload = {"version": state.champion, "champion": state.champion, "reason": why}
        events.emit(events.PROMOTED, pipeline, {**payload, "previous": state.previous})
        notify(pipeline, f"{state.champion} was promoted", f"{why} ({run})")
    if state.challenger is not None or in_flight(state):
        events.emit(events.ROLLOUT_CONTINUES, pipeline, {"version": state.challenger})


@step(retries=3, retry_delay_seconds=1, retry_condition_fn=may_pass)
def let_through(pipeline: str, why: str, run: str) -> str:
    """Approve of the challenger, wake its rollout, and return its version.

    Raises:
        SpecError: there is no challenger.
    """
    version = moves.approve(store(), pipeline, by=run, why=why)
    events.emit(events.ROLLOUT_CONTINUES, pipeline, {"version": version})
    return version
