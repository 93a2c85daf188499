"""From a request to a response: which route it is, and what it does."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable

from perennial.errors import PerennialError
from perennial.serving import rows
from perennial.serving.dataplane import Dataplane, Query
from perennial.serving.http import (
    HttpError,
    Request,
    Response,
    encode_json,
    error_response,
    json_response,
)
from perennial.serving.log import Log
from perennial.serving.metrics import Metrics
from perennial.serving.models import ModelTable
from perennial.serving.options import ServingOptions
from perennial.serving.segment import LogFull

logger = logging.getLogger(__name__)

_V1 = "/v1/models/"


class Api:
    """All routes of a worker. Safe to share between threads.

    Args:
        exposition: writes the metrics of all processes.
    """

    def __init__(
        self,
        table: ModelTable,
        log: Log,
        metrics: Metrics,
        options: ServingOptions,
        exposition: Callable[[], str],
    ) -> None:
        self._table = table
        self._log = log
        self._metrics = metrics
        self._options = options
        self._exposition = exposition
        self._dataplane = Dataplane(table, log, metrics)
        self._prefix = secrets.token_hex(8)
        self._count = itertools.count(1)

    def handle(self, request: Request) -> Response:
        """Answer a request; nothing is raised."""
        try:
            return self._route(request)
        except PerennialError as error:
            if isinstance(error, LogFull):
                self._metrics.add("perennial_log_refusals_total")
            response = error_response(error)
        except Exception:
            logger.exception("%s %s failed", request.method, request.path)
            response = json_response({"error": "the server failed; its log says why"}, 500)
        self._metrics.add("perennial_requests_total", ("", "", "", str(response.status)))
        return response

    def _route(self, request: Request) -> Response:
        path = request.path
        if path.startswith(_V1):
            name, _, verb = path.removeprefix(_V1).rpartition(":")
            if verb == "predict":
                _only(request, "POST")
                return self._predict(name, request)
            if verb == "feedback":
                _only(request, "POST")
                return self._feedback(name, request)
        elif path == "/v2/health/live":
            _only(request, "GET")
            return json_response({"live": True})
        elif path == "/v2/health/ready":
            _only(request, "GET")
            return self._ready()
        elif path == "/metrics":
            _only(request, "GET")
            return Response(200, self._exposition().encode(), "text/plain; version=0.0.4")
        raise HttpError(404, f"there is nothing at {path[:200]!r}")

    def _predict(self, name: str, request: Request) -> Response:
        champion = self._dataplane.model(name)
        body, max_rows = request.body, self._options.max_rows
        decoded = champion.rows.decode(body, max_rows)
        ids = decoded.ids
        if ids is None:
            ids = self.make_ids(len(decoded.encoded.numeric))
        answer = self._dataplane.answer(
            Query(
                pipeline=name,
                fixed=False,
                key=request.headers.get("x-routing-key") or ids[0],
                ids=ids,
                asked=champion,
                encoded=decoded.encoded,
                encode=lambda model: model.rows.decode(body, max_rows).encoded,
                started=request.started,
            )
        )
        document = {
            "model": name,
            "version": answer.model.version,
            "predictions": rows.predictions(answer.model.signature, ids, answer.output),
        }
        return Response(200, encode_json(document), after=answer.shadow)

    def _feedback(self, name: str, request: Request) -> Response:
        champion = self._dataplane.served(name).champion
        signature = None if champion is None else champion.signature
        labels = rows.decode_feedback(request.body, signature, self._options.max_rows)
        self._log.feedback(name, rows.feedback_records(labels))
        self._metrics.add("perennial_feedback_total", (name,), len(labels))
        return json_response({"model": name, "accepted": len(labels)})

    def _ready(self) -> Response:
        served = self._table.served
        refused = {name: s.placement.refused for name, s in served.items() if s.placement.refused}
        ready = self._table.is_filled
        body = {
            "ready": ready,
            "models": {
                name: s.champion.version if s.champion is not None else None
                for name, s in served.items()
            },
            "refused": refused,
        }
        return json_response(body, 200 if ready else 503)

    def make_ids(self, rows: int) -> list[str]:
        """Make ids that no other row of any server has."""
        return [f"{self._prefix}-{next(self._count):x}" for _ in range(rows)]


def _only(request: Request, method: str) -> None:
    if request.method != method and (request.method, method) != ("HEAD", "GET"):
        raise HttpError(
            405, f"{request.method} is not for {request.path[:200]!r}", ("Allow", method)
        )
