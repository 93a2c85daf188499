"""``POST /v1/alerts`` over HTTP, behind a bearer token."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import threading
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import prometheus_client as prometheus
import uvicorn
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from perennial.alerts.alert import Webhook, parse
from perennial.alerts.desk import Answer, Desk
from perennial.alerts.rules import Ignored, Order, Rules, order_of, order_of_request
from perennial.alerts.timed import TimedProtocol
from perennial.errors import AlertError, StackError, StoreError

logger = logging.getLogger(__name__)

TOKEN_VARIABLE = "PERENNIAL_ALERTS_TOKEN"
TOKEN_FILE_VARIABLE = "PERENNIAL_ALERTS_TOKEN_FILE"
SHORTEST_TOKEN = 16
LARGEST_BODY = 1 << 20
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 15.0


def read_token(environ: Mapping[str, str]) -> str:
    """Read the token that every request must bear.

    Raises:
        StackError: there is none, it cannot be read, or it is too short.
    """
    file = environ.get(TOKEN_FILE_VARIABLE)
    try:
        token = Path(file).read_text("utf-8") if file else environ.get(TOKEN_VARIABLE, "")
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{TOKEN_FILE_VARIABLE}: {file} cannot be read: {error}") from None
    token = token.strip()
    if len(token) < SHORTEST_TOKEN:
        raise StackError(
            f"alerts need a token of at least {SHORTEST_TOKEN} characters: "
            f"set {TOKEN_FILE_VARIABLE} to a file that holds it, or {TOKEN_VARIABLE}"
        )
    return token


class Service:
    """The routes, and the thread that tries again what waits.

    Args:
        figures: gives further metrics.
    """

    def __init__(
        self, desk: Desk, rules: Rules, token: str, figures: Collector | None = None
    ) -> None:
        self._desk = desk
        self._rules = rules
        self._token = hashlib.sha256(token.encode()).digest()
        self._stop = threading.Event()
        self._registry = prometheus.CollectorRegistry()
        if figures is not None:
            self._registry.register(figures)
        self._alerts = prometheus.Counter(
            "perennial_alerts",
            "Alerts by what they ask for and what became of it.",
            ("action", "result"),
            registry=self._registry,
        )
        self._refusals = prometheus.Counter(
            "perennial_alerts_refusals",
            "Requests that were refused, by HTTP status.",
            ("status",),
            registry=self._registry,
        )
        waiting: tuple[tuple[str, str, Literal[0, 1]], ...] = (
            ("perennial_alerts_waiting", "Orders that wait for Prefect or the store.", 0),
            ("perennial_alerts_oldest_waiting_seconds", "Age of the oldest of them.", 1),
        )
        for name, text, index in waiting:
            gauge = prometheus.Gauge(name, text, registry=self._registry)
            gauge.set_function(partial(_figure, desk, index))

    def app(self) -> Starlette:
        """Make the application."""
        return Starlette(
            routes=[
                Route("/v1/alerts", self._post, methods=["POST"]),
                Route("/v1/alerts/health", self._health),
                Route("/metrics", self._metrics),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        thread = threading.Thread(target=self._keep_trying, name="alerts", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            await asyncio.to_thread(thread.join)

    def _keep_trying(self) -> None:
        """Take up what an earlier process left, then whatever waits, for ever."""
        pause = _FIRST_PAUSE
        resumed = False
        while True:
            try:
                if not resumed:
                    self._desk.resume()
                    resumed = True
                self._desk.retry()
            except StoreError as error:
                logger.warning("alerts wait: %s", error)
            is_idle = resumed and self._desk.waiting()[0] == 0
            pause = _FIRST_PAUSE if is_idle else min(_LONGEST_PAUSE, pause * 1.5)
            if self._stop.wait(pause):
                return

    async def _health(self, _: Request) -> Response:
        count, age = self._desk.waiting()
        return JSONResponse({"live": True, "waiting": count, "oldest_waiting_seconds": age})

    async def _metrics(self, request: Request) -> Response:
        if (refusal := self._refuse_stranger(request)) is not None:
            return refusal
        text = await asyncio.to_thread(prometheus.generate_latest, self._registry)
        return Response(text, media_type=prometheus.CONTENT_TYPE_LATEST)

    async def _post(self, request: Request) -> Response:
        if (refusal := self._refuse_stranger(request)) is not None:
            return refusal
        body = await _read(request)
        if body is None:
            return self._refusal(413, f"the body is larger than {LARGEST_BODY} bytes")
        try:
            parsed = parse(body)
        except AlertError as error:
            return self._refusal(400, str(error))
        try:
            if isinstance(parsed, Webhook):
                return await self._take_webhook(parsed)
            order = order_of_request(parsed, datetime.now(UTC))
            (answer,) = await asyncio.to_thread(self._desk.take, [order])
        except StoreError as error:
            return self._refusal(503, str(error), {"Retry-After": "5"})
        if answer.result == "unknown":
            return self._refusal(404, answer.detail)
        return JSONResponse(self._tell(order, answer))

    async def _take_webhook(self, webhook: Webhook) -> Response:
        wanted: list[Order | Ignored] = [
            order_of(alert, self._rules)
            if alert.status == "firing"
            else Ignored("it is over: nothing is to be done")
            for alert in webhook.alerts
        ]
        orders = [order for order in wanted if isinstance(order, Order)]
        answers = iter(await asyncio.to_thread(self._desk.take, orders))
        told = []
        for alert, order in zip(webhook.alerts, wanted, strict=True):
            what = (
                self._tell(order, next(answers))
                if isinstance(order, Order)
                else self._tell_ignored(order, alert.status)
            )
            told.append({"fingerprint": alert.fingerprint, "status": alert.status, **what})
        return JSONResponse({"alerts": told, "truncated": webhook.truncated})

    def _tell(self, order: Order, answer: Answer) -> dict[str, Any]:
        result = "repeated" if answer.repeated else answer.result
        self._alerts.labels(order.action, result).inc()
        return {
            "name": order.name,
            "pipeline": order.pipeline,
            "action": order.action,
            "result": answer.result,
            "repeated": answer.repeated,
            "detail": answer.detail,
        }

    def _tell_ignored(self, ignored: Ignored, status: str) -> dict[str, Any]:
        result = "resolved" if status == "resolved" else "ignored"
        self._alerts.labels("none", result).inc()
        return {"action": None, "result": result, "detail": ignored.why}

    def _refuse_stranger(self, request: Request) -> Response | None:
        """Look at the token; takes the same time whatever was sent."""
        sort, _, token = request.headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(token.strip().encode("latin-1", "replace")).digest()
        if hmac.compare_digest(given, self._token) and sort.lower() == "bearer":
            return None
        challenge = {"WWW-Authenticate": "Bearer"}
        return self._refusal(401, "a bearer token is needed: see alerts.token", challenge)

    def _refusal(
        self, status: int, error: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        self._refusals.labels(str(status)).inc()
        return JSONResponse({"error": error}, status, headers)


def _figure(desk: Desk, index: Literal[0, 1]) -> float:
    return desk.waiting()[index]


async def _read(request: Request) -> bytes | None:
    """Read the body; None where it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            return None
    return bytes(body)


def serve(service: Service, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; must be called in the main thread."""
    uvicorn.run(
        service.app(),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        http=TimedProtocol,
        limit_concurrency=512,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
    )
