"""Look at what came in since the last time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prefect import flow, runtime
from prefect.states import Failed, State

from flows.names import of_pipeline
from flows.outcome import explained, notable, outcome
from flows.priority import step_back

if TYPE_CHECKING:
    from perennial.registry import Declaration

_NOTABLE = ("Drift confirmed", "Heal asked for", "Held")
"""What a run is named by where it looks at several pipelines, the first one that there is."""


@flow(name="monitor", flow_run_name=of_pipeline)
@explained
def monitor(pipeline: str | None = None) -> State:
    """Judge the windows that came since the last check, and ask for a heal where one is due.

    Of several pipelines, one that fails affects no other.

    Args:
        pipeline: Name of the pipeline. Left out: all of them.
    """
    from tasks.declaration import find_pipelines
    from tasks.each import for_each

    names = [pipeline] if pipeline is not None else find_pipelines()
    told, aside = for_each(names, lambda name: _monitor_one(name, last=name == names[-1]))
    message = "; ".join([*map(str, aside), *(text for _, text in told)])
    if aside:
        return Failed(message=message)
    message = message or "no pipeline is declared"
    states = {state for state, _ in told}
    found = next((state for state in _NOTABLE if state in states), None)
    if found is not None:
        return notable(found, message)
    return outcome("Skipped" if states == {"Skipped"} else "Checked", message)


def _monitor_one(pipeline: str, *, last: bool) -> tuple[str, str]:
    """What a look at one pipeline came to, and why."""
    from perennial.errors import LeaseHeld
    from tasks.declaration import find_pipeline
    from tasks.lease import held_look
    from tasks.look import noted_look

    run = f"{runtime.flow_run.name} ({runtime.flow_run.id})"
    with noted_look(pipeline):
        declaration = find_pipeline(pipeline)
        try:
            with held_look(declaration.spec.name, holder=run):
                return _look_at(declaration, last=last)
        except LeaseHeld as error:  # the other look goes on, and the next one comes
            return "Skipped", str(error)


def _look_at(declaration: Declaration, *, last: bool) -> tuple[str, str]:
    from tasks.approval import withdraw_questions
    from tasks.check import check_windows, repeat_requests, show_checks

    checks = check_windows(declaration)
    asking = repeat_requests(declaration, checks)
    if last:
        step_back(heal_begins=asking is not None)
    show_checks(declaration, checks)
    if declaration.spec.rollout.approval == "manual":
        withdraw_questions(declaration.spec.name)
    name, fault = declaration.spec.name, ""
    if checks and checks[-1].suite_fault is not None:
        fault = f"; {checks[-1].suite_fault}: the rules before it are in force"
    if asking is not None:
        return asking.title, f"{name}: {asking.reason}{fault}"
    held = [check.held_briefly for check in checks if check.held_briefly is not None]
    if held:
        return "Held", f"{name}: {held[-1]}{fault}"
    newest = checks[-1].decision.reason if checks else "no full window has come"
    return "Checked", f"{name}: {newest}{fault}"
