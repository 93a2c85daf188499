"""Look at what came in since the last time."""

from __future__ import annotations

from prefect import flow
from prefect.states import State

from flows.names import of_pipeline
from flows.outcome import explained, notable, outcome
from flows.priority import step_back

_NOTABLE = ("Drift confirmed", "Heal asked for", "Held")
"""What a run is named by where it looks at several pipelines, the first one that there is."""


@flow(name="monitor", flow_run_name=of_pipeline)
@explained
def monitor(pipeline: str | None = None) -> State:
    """Judge the windows that came since the last check, and ask for a heal where one is due.

    Args:
        pipeline: Name of the pipeline, or the folder of its pipeline.yaml. Left out: all of them.
    """
    from tasks.declaration import find_pipelines

    names = [pipeline] if pipeline is not None else find_pipelines()
    told = [_monitor_one(name, last=number == len(names)) for number, name in enumerate(names, 1)]
    message = "; ".join(text for _, text in told) or "no pipeline is declared"
    states = {state for state, _ in told}
    found = next((state for state in _NOTABLE if state in states), None)
    return outcome("Checked", message) if found is None else notable(found, message)


def _monitor_one(pipeline: str, *, last: bool) -> tuple[str, str]:
    """What a look at one pipeline came to, and why."""
    from tasks.approval import withdraw_questions
    from tasks.check import check_windows, repeat_requests, show_checks
    from tasks.declaration import find_pipeline

    declaration = find_pipeline(pipeline)
    checks = check_windows(declaration)
    asking = repeat_requests(declaration, checks)
    if last:
        step_back(heal_begins=asking is not None)
    show_checks(declaration, checks)
    if declaration.spec.rollout.approval == "manual":
        withdraw_questions(declaration.spec.name)
    name = declaration.spec.name
    if asking is not None:
        return asking.title, f"{name}: {asking.reason}"
    held = [check.held_briefly for check in checks if check.held_briefly is not None]
    if held:
        return "Held", f"{name}: {held[-1]}"
    newest = checks[-1].decision.reason if checks else "no full window has come"
    return "Checked", f"{name}: {newest}"
