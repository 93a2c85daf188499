"""What runs are called: what they do, to which pipeline, and why."""

from __future__ import annotations

from prefect import runtime

_LONGEST = 60


def of_pipeline() -> str:
    """Such as ``monitor bike``; ``gc of all pipelines`` where none is named."""
    pipeline = runtime.flow_run.parameters.get("pipeline")
    what = runtime.flow_run.flow_name
    return f"{what} {pipeline}" if pipeline else f"{what} of all pipelines"


def with_reason() -> str:
    """Such as ``retrain bike: drift in temp, hum``: the reason as far as it names the matter."""
    reason = " ".join(str(runtime.flow_run.parameters.get("reason") or "").split())
    head = reason.partition("; ")[0].partition(": ")[0]
    if len(head) > _LONGEST:
        head = head[:_LONGEST].rstrip() + "…"
    return f"{of_pipeline()}: {head}" if head else of_pipeline()
