"""Look at what came in since the last time."""

from __future__ import annotations

from prefect import flow
from prefect.states import State

from flows.outcome import explained, outcome
from tasks.approval import withdraw_questions
from tasks.check import check_windows, repeat_requests
from tasks.declaration import find_pipeline, find_pipelines


@flow(name="monitor", flow_run_name="monitor {pipeline}")
@explained
def monitor(pipeline: str | None = None) -> State:
    """Judge the windows that came since the last check, and ask for a heal where one is due.

    Args:
        pipeline: Name of the pipeline, or the folder of its pipeline.yaml. Left out: all of them.
    """
    names = [pipeline] if pipeline is not None else find_pipelines()
    told = [_monitor_one(name) for name in names]
    if any(asking for asking, _ in told):
        return outcome("Drift confirmed", "; ".join(text for _, text in told))
    return outcome("Checked", "; ".join(text for _, text in told) or "no pipeline is declared")


def _monitor_one(pipeline: str) -> tuple[bool, str]:
    declaration = find_pipeline(pipeline)
    checks = check_windows(declaration)
    asking = repeat_requests(declaration)
    if declaration.spec.rollout.approval == "manual":
        withdraw_questions(declaration.spec.name)
    newest = checks[-1].decision.reason if checks else "no full window has come"
    return asking is not None, f"{declaration.spec.name}: {asking or newest}"
