"""Requests for one row that arrive together are answered together.

What the sockets bring in one turn of the event loop is asked of a model in one call, logged by one
write to the operating system, and answered after it. Nothing waits for company: the batch ends with
the turn. Only a model whose answers do not depend on the rows beside them, to the last bit, is
asked so (`LoadedModel.takes_batches`). Where a batch fails, each of its requests goes the general
way alone, so that none pays for another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from perennial.errors import ModelError, RequestError
from perennial.packaging.predictor import EncodedRows
from perennial.serving.api import Api
from perennial.serving.dataplane import Query, choose, record
from perennial.serving.http import Request, Response, error_response, json_response
from perennial.serving.models import LoadedModel
from perennial.serving.one_row import OneRow
from perennial.serving.router import Route
from perennial.serving.segment import LogFull, PredictionRecord

logger = logging.getLogger(__name__)

Reply = Callable[[Request, Response], None]

_MOST = 64


class _Asked(msgspec.Struct, gc=False):
    """One request, and what it asks."""

    request: Request
    row: OneRow
    named: bool
    """Whether it came by the route of named rows."""
    shadow: LoadedModel | None
    route: Route | None
    reply: Reply | None
    """None: it was called."""


class _Group:
    """What is asked of one model in one role, and was routed by one weight."""

    def __init__(self, model: LoadedModel, role: str) -> None:
        self.model = model
        self.role = role
        self.asked: list[_Asked] = []
        self.rows: EncodedRows
        self.output: NDArray[np.float32]
        self.seconds: list[float]
        """From each request to its answer."""


class Batch:
    """The requests of one turn of a worker's event loop. Not to be shared between threads."""

    def __init__(self, api: Api, loop: asyncio.AbstractEventLoop) -> None:
        self._api = api
        self._loop = loop
        self._groups: dict[tuple[LoadedModel, str, float], _Group] = {}
        self._size = 0

    def take(self, request: Request, reply: Reply) -> bool:
        """Take a request that is for one row and plain; tell whether it was taken.

        Args:
            reply: is called with the request and its answer, soon and from the event loop.
        """
        found = self._api.read_one(request)
        if found is None:
            return False
        served, champion, row, named = found
        key = request.header(b"x-routing-key") or row.id
        model, role, shadow, route = choose(served, champion, key)
        if model.is_slow or not model.takes_batches:
            return False
        if model is not champion and model.signature_json != champion.signature_json:
            return False
        if shadow is not None and shadow.signature_json != champion.signature_json:
            return False
        if self._size == _MOST:
            self._flush()
        place = model, role, 0.0 if route is None else route.weight
        group = self._groups.get(place)
        if group is None:
            group = self._groups[place] = _Group(model, role)
        group.asked.append(_Asked(request, row, named, shadow, route, reply))
        self._size += 1
        if self._size == 1:
            self._loop.call_soon(self._flush)
        return True

    def _flush(self) -> None:
        """Answer what was taken; nothing may have been, where a full batch went before."""
        groups, self._groups, self._size = list(self._groups.values()), {}, 0
        logs: dict[tuple[str, str], list[_Group]] = {}
        for group in groups:
            if _predict(group):
                key = group.model.pipeline, group.model.signature_json
                logs.setdefault(key, []).append(group)
            else:
                for asked in group.asked:
                    _answer(asked, self._api.handle(asked.request))
        for (pipeline, signature), members in logs.items():
            try:
                self._log_and_answer(pipeline, signature, members)
            except Exception:
                logger.exception("a batch failed: its requests that have no answer get 500")
                self._answer_rest(members, json_response({"error": "the server failed"}, 500))

    def _log_and_answer(self, pipeline: str, signature: str, groups: list[_Group]) -> None:
        bodies = [_bodies(group) for group in groups]
        try:
            self._api.log.batch(pipeline, signature, [_record(group) for group in groups])
        except LogFull as error:
            refused = sum(len(group.asked) for group in groups)
            self._api.metrics.add("perennial_log_refusals_total", amount=refused)
            self._answer_rest(groups, error_response(error))
            return
        for group, written in zip(groups, bodies, strict=True):
            model = group.model
            meter = self._api.metrics.meter(pipeline, model.version, group.role)
            meter.count_rows(group.seconds)
            for asked, body in zip(group.asked, written, strict=True):
                response = Response(200, body)
                if asked.shadow is not None:
                    response.after = self._shadow(asked, model, asked.shadow)
                _answer(asked, self._api.finish(asked.request, response))

    def _answer_rest(self, groups: list[_Group], response: Response) -> None:
        for group in groups:
            for asked in group.asked:
                if asked.reply is not None:
                    _answer(asked, self._api.finish(asked.request, replace(response)))

    def _shadow(
        self, asked: _Asked, champion: LoadedModel, challenger: LoadedModel
    ) -> Callable[[], None]:
        def run() -> None:
            query = Query(
                pipeline=champion.pipeline,
                fixed=True,
                key=asked.row.id,
                ids=[asked.row.id],
                asked=champion,
                encoded=champion.one_row.columns([asked.row]),
                encode=lambda model: model.one_row.columns([asked.row]),
                request=asked.request,
            )
            self._api.dataplane.shadow(query, challenger)

        return run


def _answer(asked: _Asked, response: Response) -> None:
    """Answer a request that has no answer yet."""
    reply, asked.reply = asked.reply, None
    if reply is not None:
        reply(asked.request, response)


def _predict(group: _Group) -> bool:
    """Ask a model; False where that fails for any of the requests."""
    model = group.model
    group.rows = model.one_row.columns([asked.row for asked in group.asked])
    try:
        output = model.predict(group.rows)
    except (ModelError, RequestError):
        return False  # whose fault it is is found out alone
    if not np.isfinite(output).all():
        return False
    group.output = output
    now = time.perf_counter()
    group.seconds = [now - asked.request.started for asked in group.asked]
    return True


def _record(group: _Group) -> PredictionRecord:
    return record(
        [asked.request.owner + asked.row.id for asked in group.asked],
        group.rows,
        group.output,
        group.model.version,
        group.role,
        [int(value * 1e6) for value in group.seconds],
        [asked.route for asked in group.asked if asked.route is not None] or None,
    )


def _bodies(group: _Group) -> list[bytes]:
    """Write the answers of a group, in its order."""
    writer, ids = group.model.writer, [asked.row.id for asked in group.asked]
    missing = [asked.row.missing for asked in group.asked]
    first = group.asked[0].named
    if all(asked.named is first for asked in group.asked):
        if first:
            return writer.named(ids, group.output, missing)
        return writer.tensors(ids, group.output)
    both = writer.tensors(ids, group.output), writer.named(ids, group.output, missing)
    return [both[asked.named][at] for at, asked in enumerate(group.asked)]
