"""From a request to a response: which route it is, who may take it, and what it does."""

from __future__ import annotations

import itertools
import logging
import secrets
import time
from collections.abc import Callable

from perennial.errors import ModelError, PerennialError
from perennial.packaging.labels import LabelRule
from perennial.serving import feedback, metadata, oip, openapi, page, rows
from perennial.serving.admission import Admission
from perennial.serving.auth import Scope, Tokens
from perennial.serving.dataplane import Dataplane, Query
from perennial.serving.encoding import WORTH, compress, decompress
from perennial.serving.http import (
    RETRY_SOON,
    HttpError,
    Request,
    Response,
    encode_json,
    error_response,
    json_response,
)
from perennial.serving.log import Log
from perennial.serving.metrics import Metrics
from perennial.serving.models import SLOW, LoadedModel, ModelTable, Served
from perennial.serving.one_row import OneRow
from perennial.serving.options import ServingOptions
from perennial.serving.routes import Route, find_route
from perennial.serving.segment import LogFull

logger = logging.getLogger(__name__)

_ANY_LABEL = LabelRule("multiclass")
"""Before there is a model nobody knows what its labels are."""


class Api:
    """All routes of a worker. Safe to share between threads.

    Args:
        tokens: who may do what; None: everybody may do everything.
        exposition: writes the metrics of all processes.
    """

    def __init__(
        self,
        table: ModelTable,
        log: Log,
        metrics: Metrics,
        options: ServingOptions,
        tokens: Tokens | None,
        exposition: Callable[[], str],
    ) -> None:
        self._table = table
        self.log = log
        self.metrics = metrics
        self._options = options
        self.admission = Admission(tokens)
        self._exposition = exposition
        self.dataplane = Dataplane(table, log, metrics)
        self._prefix = secrets.token_hex(8)
        self._count = itertools.count(1)
        self._fixed: dict[str, tuple[str, Scope | None, Callable[[Request], Response]]] = {
            "/v2/health/live": ("GET", None, lambda _: json_response({"live": True})),
            "/v2/health/ready": ("GET", None, self._ready),
            "/v2": ("GET", "read", lambda _: json_response(metadata.server_metadata())),
            "/v2/repository/index": ("POST", "read", self._index),
            "/metrics": ("GET", "read", self._metrics_page),
            "/openapi.json": ("GET", "read", self._description),
            "/docs": ("GET", "read", self._page),
            "/v1/models": ("GET", "read", self._list),
            "/": ("GET", "read", self._list),
        }

    def handle(self, request: Request) -> Response:
        """Answer a request; nothing is raised."""
        return self.finish(request, self._respond(request))

    def finish(self, request: Request, response: Response) -> Response:
        """Add to an answer what every answer carries, and note it."""
        if len(response.body) >= WORTH:
            response.headers = (*response.headers, ("Vary", "Accept-Encoding"))
            compress(response, request.header(b"accept-encoding") or "")
        name = request.header(b"x-request-id")
        if name is not None:
            response.headers = (*response.headers, ("x-request-id", name))
        if response.status != 200:
            self.note_refusal(request, response.status)
        if self._options.access_log:
            self._note(logging.INFO, "answered", request, response.status)
        return response

    def may_take_long(self, request: Request) -> bool:
        """Tell whether the event loop had better not wait for a request."""
        route = find_route(request.path)
        served = self._table.served.get(route.name)
        if served is None or route.action not in ("predict", "infer"):
            return False
        slowest = max((model.row_seconds for model in served.models), default=0.0)
        return slowest * self._most_rows(route, served, request) > SLOW

    def _most_rows(self, route: Route, served: Served, request: Request) -> int:
        """Bound the rows of a body without reading it: a value takes a digit and a comma."""
        if route.action == "predict":
            return max(1, request.body.count(b"{"))
        features = min((len(model.signature.features) for model in served.models), default=1)
        return max(1, request.size // (2 * max(1, features)))

    def read_one(self, request: Request) -> tuple[Served, LoadedModel, OneRow, bool] | None:
        """Read a request that asks the champion for one row, and is plain; its id may be made here.

        Returns:
            What serves it, its champion, the row, and whether it came by the route of named rows;
            None where the request is another one, or may not be answered: it is for `handle`.
        """
        route = find_route(request.path)
        headers = request.headers
        if (
            route.action not in ("infer", "predict")
            or route.version is not None
            or request.method != "POST"
            or oip.HEADER_LENGTH in headers
            or b"content-encoding" in headers
            or not (request.authorized or not self.admission.needs_token)
            or time.perf_counter() - request.started > self._options.deadline
        ):
            return None
        served = self._table.served.get(route.name)
        if served is None or served.champion is None or not served.champion.takes_batches:
            return None
        named = route.action == "predict"
        reader = served.champion.one_row
        row = reader.named(request.body) if named else reader.tensor(request.body)
        if row is None:
            return None
        if not row.id:
            row.id = self._make_id()
        return served, served.champion, row, named

    def note_refusal(self, request: Request, status: int) -> None:
        """Count a request that got no further."""
        self.count_refusal(status, self._model_in(request.path))

    def count_refusal(self, status: int, model: str = "") -> None:
        """Count a request that no model answered."""
        self.metrics.add("perennial_requests_total", (model, "", "", str(status)))

    def _model_in(self, path: str) -> str:
        """Name the pipeline that a path is about; empty where it is about none that is known."""
        name = find_route(path).name
        return name if name in self._table.served else ""

    def _respond(self, request: Request) -> Response:
        try:
            if time.perf_counter() - request.started > self._options.deadline:
                raise HttpError(503, "the deadline has passed before a model was free", RETRY_SOON)
            return self._route(request)
        except LogFull as error:
            self.metrics.add("perennial_log_refusals_total")
            return error_response(error)
        except PerennialError as error:
            response = error_response(error)
            if isinstance(error, ModelError):
                model = self._model_in(request.path)
                self.metrics.add("perennial_model_failures_total", (model,))
            if response.status == 500:
                self._note(logging.ERROR, str(error), request, 500)
            return response
        except Exception:
            self._note(logging.ERROR, "the server failed", request, 500, exc_info=True)
            return json_response({"error": "the server failed; its log says why"}, 500)

    def _note(
        self, level: int, message: str, request: Request, status: int, *, exc_info: bool = False
    ) -> None:
        extra = {
            "request_id": request.header(b"x-request-id"),
            "method": request.method,
            "path": request.path,
            "status": status,
            "milliseconds": round((time.perf_counter() - request.started) * 1000, 3),
        }
        logger.log(level, message, extra=extra, exc_info=exc_info)

    def _route(self, request: Request) -> Response:
        route = find_route(request.path)
        if route.action == "predict":
            self._admit(request, "POST", "predict")
            return self._predict(route.name, request)
        if route.action == "feedback":
            self._admit(request, "POST", "feedback")
            return self._feedback(route.name, request)
        if route.action == "infer":
            self._admit(request, "POST", "predict")
            return self._infer(route.name, route.version, request)
        if route.action in ("metadata", "ready", "config"):
            self._admit(request, "GET", "read")
            return self._describe(route)
        fixed = self._fixed.get(_plain(request.path))
        if fixed is None:
            raise HttpError(404, f"there is nothing at {request.path[:200]!r}")
        method, scope, answer = fixed
        self._admit(request, method, scope)
        return answer(request)

    def _describe(self, route: Route) -> Response:
        """Say what a model is, below ``/v2/models/<name>``."""
        model = self.dataplane.model(route.name, route.version)
        if route.action == "ready":
            return json_response({"name": route.name, "version": model.version, "ready": True})
        if route.action == "config":
            return json_response(metadata.model_config(model))
        return json_response(metadata.model_metadata(model, self.dataplane.served(route.name)))

    def _admit(self, request: Request, method: str, scope: Scope | None) -> None:
        """See that a request has the method and the right, and undo its compression."""
        if request.method != method and (request.method, method) != ("HEAD", "GET"):
            allow = "GET, HEAD" if method == "GET" else method
            message = f"{request.method} is not for {request.path[:200]!r}"
            raise HttpError(405, message, ("Allow", allow))
        if not request.authorized:
            request.owner = self.admission.admit(request.headers, scope)
        encoding = request.header(b"content-encoding")
        if encoding is not None and encoding != "identity":
            request.body = decompress(request.body, encoding.lower(), self._options.max_body)

    def authorize(self, path: str, headers: dict[bytes, bytes]) -> str:
        """See, before its body has come, that a request has the right to what its path names.

        Returns:
            As `Admission.admit`.

        Raises:
            HttpError: 401 or 403.
        """
        return self.admission.admit(headers, self._scope(path))

    def _scope(self, path: str) -> Scope | None:
        scope = find_route(path).scope
        if scope is None and (fixed := self._fixed.get(_plain(path))) is not None:
            scope = fixed[1]
        return scope

    def _predict(self, name: str, request: Request) -> Response:
        champion = self.dataplane.model(name)
        body, max_rows = request.body, self._options.max_rows
        decoded = champion.rows.decode(body, max_rows)
        ids = decoded.ids
        if ids is None:
            ids = [self._make_id() for _ in range(len(decoded.encoded.numeric))]
        answer = self.dataplane.answer(
            Query(
                pipeline=name,
                fixed=False,
                key=request.header(b"x-routing-key") or ids[0],
                ids=ids,
                asked=champion,
                encoded=decoded.encoded,
                encode=lambda model: model.rows.decode(body, max_rows).encoded,
                request=request,
            )
        )
        document: dict[str, object] = {
            "model": name,
            "version": answer.model.version,
            "predictions": rows.predictions(answer.model.signature, ids, answer.output),
        }
        if decoded.missing:
            document["missing"] = decoded.missing
        return Response(200, encode_json(document), after=answer.shadow)

    def _infer(self, name: str, version: str | None, request: Request) -> Response:
        model = self.dataplane.model(name, version)
        max_rows = self._options.max_rows
        most = max_rows * len((*model.signature.features, *model.signature.context))
        parsed, inputs = oip.parse(request.body, request.header(oip.HEADER_LENGTH), most)
        oip.check_outputs(parsed, model.signature)
        encoded = model.tensors.encode(inputs, max_rows)
        request_id = parsed.id or self._make_id()
        answer = self.dataplane.answer(
            Query(
                pipeline=name,
                fixed=version is not None,
                key=request.header(b"x-routing-key") or request_id,
                ids=[request_id],
                asked=model,
                encoded=encoded,
                encode=lambda other: other.tensors.encode(inputs, max_rows),
                request=request,
            )
        )
        response = oip.respond(parsed, request_id, answer.model, answer.output)
        response.after = answer.shadow
        return response

    def _feedback(self, name: str, request: Request) -> Response:
        champion = self.dataplane.served(name).champion
        rule = _ANY_LABEL if champion is None else LabelRule.of(champion.signature)
        labels = feedback.decode_feedback(request.body, rule, self._options.max_rows)
        request.claim()
        self.log.feedback(name, feedback.feedback_records(labels, request.owner))
        self.metrics.add("perennial_feedback_total", (name,), len(labels))
        return json_response({"model": name, "accepted": len(labels)})

    def _ready(self, request: Request) -> Response:
        ready = self._table.is_filled
        body: dict[str, object] = {"ready": ready}
        if self.admission.may_read(request.headers):
            served = self._table.served
            body["models"] = {
                name: s.champion.version if s.champion is not None else None
                for name, s in served.items()
            }
            body["refused"] = {
                name: s.placement.refused for name, s in served.items() if s.placement.refused
            }
        return json_response(body, 200 if ready else 503)

    def _index(self, _: Request) -> Response:
        return json_response(metadata.repository_index(self._table.served))

    def _description(self, _: Request) -> Response:
        found = openapi.document(
            self._table.served,
            max_rows=self._options.max_rows,
            needs_token=self.admission.needs_token,
        )
        return json_response(found)

    def _list(self, _: Request) -> Response:
        return json_response(metadata.model_list(self._table.served))

    def _page(self, _: Request) -> Response:
        served = sorted(self._table.served.items())
        return page.page({n: s.champion.signature for n, s in served if s.champion is not None})

    def _metrics_page(self, _: Request) -> Response:
        return Response(200, self._exposition().encode(), "text/plain; version=0.0.4")

    def _make_id(self) -> str:
        """Make an id that no other row of any server has."""
        return f"{self._prefix}-{next(self._count):x}"


def _plain(path: str) -> str:
    """A path as the table of fixed routes has it."""
    return path if path == "/" else path.rstrip("/")
