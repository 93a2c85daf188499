"""Put down that a heal could not be made, and tell people."""

from __future__ import annotations

from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun
from prefect.logging import get_logger
from prefect.states import State

from perennial.errors import StoreError
from perennial.registry import (
    Streak,
    append_history,
    find_declaration,
    new_entry,
    newest_history,
    retrain_streak,
)
from perennial.store import layout
from tasks.connection import store
from tasks.notify import notify

logger = get_logger("perennial.retrain")


def tell_failed(_flow: Flow[Any, Any], run: FlowRun, state: State[Any]) -> None:
    """An ``on_failure`` hook: write each failure down; tell people once of what asked for the run,
    however often it is tried, and again when failures come in a row."""
    parameters = run.parameters
    pipeline = str(parameters.get("pipeline", "")).rstrip("/").rpartition("/")[2]
    cause = parameters.get("cause")
    reason = state.message or "no reason was given"
    try:
        _write_down(pipeline, run, cause, reason)
    except StoreError as error:  # of which this failure may come
        logger.warning("the history has no word of it: %s", error)
    asked = layout.checked_window(cause) if cause else str(run.id)
    title, incident = "the retrain failed, the champion goes on", f"retrain-failed-{asked}"
    streak = _streak(pipeline)
    if streak.loud:
        title, incident = "retrains keep failing, the champion ages", f"retrain-{streak.incident}"
        reason = streak.told("retrain")
    notify(pipeline, title, reason, incident=incident, run=str(run.id))


def _streak(pipeline: str) -> Streak:
    """How often retrains have failed in a row; what the store cannot say is no streak."""
    try:
        return retrain_streak(newest_history(store(), pipeline)) if pipeline else Streak()
    except StoreError as error:
        logger.warning("how often retrains have failed is not known: %s", error)
        return Streak()


def _write_down(pipeline: str, run: FlowRun, cause: str | None, reason: str) -> None:
    """Nothing where the store knows no such pipeline: then a name was misspelt."""
    if not pipeline or find_declaration(store(), pipeline) is None:
        return
    details = {"depth": run.parameters.get("depth", "retrain")}
    entry = new_entry("retrain.failed", reason=reason, by=run.name, cause=cause, details=details)
    append_history(store(), pipeline, entry)
