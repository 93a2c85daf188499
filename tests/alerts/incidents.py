"""Alerts as Alertmanager 0.28 sends them."""

from __future__ import annotations

import json
from typing import Any

STARTED = "2030-01-01T10:00:00.123456789Z"
NEVER = "0001-01-01T00:00:00Z"


def alert(
    fingerprint: str = "b1a3f1d2c4e5f607",
    status: str = "firing",
    starts: str = STARTED,
    summary: str = "it is slow",
    **labels: str,
) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": "Slow", **labels},
        "annotations": {"summary": summary},
        "startsAt": starts,
        "endsAt": NEVER if status == "firing" else "2030-01-01T11:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
        "fingerprint": fingerprint,
    }


def webhook(*alerts: dict[str, Any], **more: Any) -> bytes:
    group = {
        "receiver": "perennial",
        "status": "firing",
        "alerts": alerts,
        "groupLabels": {"model": "bike"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093",
        "version": "4",
        "groupKey": '{}:{model="bike"}',
        "truncatedAlerts": 0,
    }
    return json.dumps({**group, **more}).encode()
