"""Tell people that a heal could not be made."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun
from prefect.states import State

from tasks.notify import notify


def tell_failed(_flow: Flow[Any, Any], run: FlowRun, state: State[Any]) -> None:
    """An ``on_failure`` hook: say so once for what asked for the run, however often it is tried."""
    parameters = run.parameters
    pipeline = str(parameters.get("pipeline", "")).rstrip("/").rpartition("/")[2]
    cause = parameters.get("cause")
    asked = str(cause).rpartition("/")[2].removesuffix(".json") if cause else str(run.id)
    notify(
        pipeline,
        "the retrain failed, the champion goes on",
        state.message or "no reason was given",
        incident=f"retrain-failed-{asked}",
        run=str(run.id),
    )
