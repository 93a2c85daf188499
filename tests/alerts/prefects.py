"""A Prefect server that remembers what it was asked, and can be away."""

from __future__ import annotations

import json
from typing import Any

import httpx

from perennial.alerts.prefect import Prefect


class Asked(httpx.BaseTransport):
    """Answers as Prefect's API does, as far as alerts ask it."""

    def __init__(self) -> None:
        self.away = False
        self.deployed = True
        self.events: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.authorization: str | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            raise httpx.ConnectError("refused", request=request)
        self.authorization = request.headers.get("authorization")
        match request.method, request.url.path:
            case "POST", "/api/events":
                self.events += json.loads(request.content)
                return httpx.Response(204)
            case "GET", "/api/deployments/name/monitor/monitor" if self.deployed:
                return httpx.Response(200, json={"id": "d-1"})
            case "POST", "/api/deployments/d-1/create_flow_run":
                self.runs.append(json.loads(request.content))
                return httpx.Response(201, json={"id": "r-1"})
        return httpx.Response(404, json={"detail": "Not found"})

    def client(self, **environ: str) -> Prefect:
        return Prefect("http://prefect/api", environ, self)
