"""Ask Prefect over HTTP for a retrain or a look; asked twice by one name, it does it once."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from uuid import NAMESPACE_URL, uuid5

import httpx

from perennial.errors import PerennialError
from perennial.store.lease import utc_now

RETRAIN_REQUESTED = "perennial.retrain.requested"
MONITOR = "/deployments/name/monitor/monitor"


class PrefectAway(PerennialError):
    """Prefect cannot be asked now."""


class PrefectSilent(PrefectAway):
    """It does not answer at all: whatever else is to be asked would wait as long."""


class Prefect:
    """A Prefect server. Safe to share between threads.

    Args:
        api_url: ends in ``/api``; None: none is configured.
        environ: PREFECT_API_AUTH_STRING (``user:password``) or PREFECT_API_KEY, where it asks for
            one.
    """

    def __init__(
        self,
        api_url: str | None,
        environ: Mapping[str, str],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._client = httpx.Client(
            base_url=api_url or "",
            headers=_authorization(environ),
            timeout=5.0,
            trust_env=False,
            transport=transport,
        )
        self._is_configured = api_url is not None

    def retrain(self, pipeline: str, reason: str, name: str) -> None:
        """Emit the event that starts a retrain.

        The event's id is made of ``name``: one that comes twice starts one run.

        Raises:
            PrefectAway: the server does not take it.
        """
        event = {
            "id": str(uuid5(NAMESPACE_URL, f"perennial:{pipeline}/{name}")),
            "event": RETRAIN_REQUESTED,
            "occurred": utc_now().isoformat(),
            "resource": {
                "prefect.resource.id": f"perennial.pipeline.{pipeline}",
                "prefect.resource.name": pipeline,
            },
            "payload": {"pipeline": pipeline, "reason": reason, "verdict": None, "alert": name},
        }
        self._call("POST", "/events", [event])

    def monitor(self, pipeline: str, name: str) -> None:
        """Start a run of the monitor.

        Raises:
            PrefectAway: the server does not take it, or the monitor is not deployed.
        """
        deployment = self._call("GET", MONITOR).json()["id"]
        body = {
            "state": {"type": "SCHEDULED"},
            "parameters": {"pipeline": pipeline},
            "idempotency_key": f"{pipeline}/{name}",
        }
        self._call("POST", f"/deployments/{deployment}/create_flow_run", body)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _call(self, method: str, path: str, body: object = None) -> httpx.Response:
        if not self._is_configured:
            raise PrefectAway("no Prefect server is configured: set PREFECT_API_URL")
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise PrefectSilent(f"Prefect does not answer ({type(error).__name__})") from error
        if answer.is_error:
            raise PrefectAway(f"Prefect answers {answer.status_code} to {method} {path}")
        return answer


def _authorization(environ: Mapping[str, str]) -> dict[str, str]:
    if auth := environ.get("PREFECT_API_AUTH_STRING"):
        return {"Authorization": f"Basic {base64.b64encode(auth.encode()).decode()}"}
    if key := environ.get("PREFECT_API_KEY"):
        return {"Authorization": f"Bearer {key}"}
    return {}
