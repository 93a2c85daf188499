"""Prefect events: wake-up calls. What they tell stands in the store already."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from prefect.client.orchestration import get_client

DRIFT_CONFIRMED = "perennial.drift.confirmed"
DATA_HELD = "perennial.data.held"
LABELS_MISSING = "perennial.labels.missing"
VERSION_REGISTERED = "perennial.version.registered"
ROLLOUT_CONTINUES = "perennial.rollout.continues"
AWAITING_APPROVAL = "perennial.rollout.awaiting_approval"
PROMOTED = "perennial.rollout.promoted"
ROLLED_BACK = "perennial.rollout.rolled_back"


def emit(event: str, pipeline: str, payload: dict[str, Any]) -> None:
    """Send an event and wait until the server has it.

    Prefect's own ``emit_event`` sends from a thread and loses what a process that ends at once has
    not sent yet; this one raises where the server does not take the event.

    Raises:
        httpx.HTTPError: the server cannot be reached, or refuses.
    """
    body = {
        "id": str(uuid4()),
        "event": event,
        "occurred": datetime.now(UTC).isoformat(),
        "resource": {
            "prefect.resource.id": f"perennial.pipeline.{pipeline}",
            "prefect.resource.name": pipeline,
        },
        "payload": {"pipeline": pipeline, **payload},
    }
    with get_client(sync_client=True) as client:
        client.request("POST", "/events", json=[body]).raise_for_status()
