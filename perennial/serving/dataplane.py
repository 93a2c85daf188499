"""From encoded rows to a logged answer: route, predict, fall back, log, shadow.

Every protocol ends here, so that they all mean the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from perennial.errors import ModelError, RequestError
from perennial.packaging.predictor import EncodedRows
from perennial.serving.http import RETRY_SOON, HttpError, Request
from perennial.serving.log import Log
from perennial.serving.metrics import Metrics
from perennial.serving.models import LoadedModel, ModelTable, Served
from perennial.serving.router import Route, place
from perennial.serving.segment import PredictionRecord

_MODERATE = 1e9
CHAMPION, CHALLENGER, SHADOW = "champion", "challenger", "shadow"


class Query(msgspec.Struct, frozen=True):
    """Rows that one model shall answer."""

    pipeline: str
    fixed: bool
    """Whether the model that was asked must answer; else whoever the router chooses."""
    key: str
    """Routing key."""
    ids: list[str]
    """One a row, or one for all."""
    asked: LoadedModel
    """The model by whose signature the rows were encoded."""
    encoded: EncodedRows
    encode: Callable[[LoadedModel], EncodedRows]
    """Encodes them for a model of another signature; raises RequestError where they do not fit."""
    request: Request
    """That asks: claimed right before its answer is logged."""

    @property
    def logged_ids(self) -> list[str]:
        """The ids as they stand in the log."""
        owner = self.request.owner
        return [owner + name for name in self.ids] if owner else self.ids


class Answer(msgspec.Struct, frozen=True):
    """What a model answered; it is in the log."""

    model: LoadedModel
    role: str
    output: NDArray[np.float32]
    shadow: Callable[[], None] | None
    """To be run when the answer has gone."""


class Dataplane:
    """Answers queries from the models of a table."""

    def __init__(self, table: ModelTable, log: Log, metrics: Metrics) -> None:
        self._table = table
        self._log = log
        self._metrics = metrics

    def served(self, pipeline: str) -> Served:
        """Find a pipeline.

        Raises:
            HttpError: 404, there is none of this name; 503, no model was ever seen.
        """
        served = self._table.served.get(pipeline)
        if served is None:
            if not self._table.is_filled:
                raise HttpError(503, "the store was not reached yet", RETRY_SOON)
            raise HttpError(404, f"there is no model {pipeline[:200]!r} here")
        return served

    def model(self, pipeline: str, version: str | None = None) -> LoadedModel:
        """Find the champion, or a loaded version by its name.

        Raises:
            HttpError: 404 for an unknown pipeline or version, 503 where there is no champion yet.
        """
        served = self.served(pipeline)
        if version is not None:
            named = served.version(version)
            if named is None:
                raise HttpError(404, f"version {version[:200]!r} of {pipeline} is not loaded here")
            return named
        if served.champion is None:
            raise HttpError(503, _why_no_champion(pipeline, served), RETRY_SOON)
        return served.champion

    def answer(self, query: Query) -> Answer:
        """Answer the rows and log them.

        Raises:
            RequestError: a number is beyond what the model can take.
            ModelError: the champion failed, or answered NaN.
            LogFull: the answer is not in the log and must not leave.
            HttpError: 503, it is too late for an answer.
        """
        served = self.served(query.pipeline)
        champion, challenger = query.asked, served.challenger
        if query.fixed or challenger is None:
            role = CHALLENGER if champion is challenger else CHAMPION
            return self._answer(query, champion, role, None)
        model, role, shadow, route = choose(served, champion, query.key)
        if role == CHALLENGER:
            try:
                return self._answer(query, model, CHALLENGER, None, route)
            except (ModelError, RequestError):
                answer = self._answer(query, champion, CHAMPION, None, route)
            # Only now is it known that the request was not at fault.
            self._metrics.add(
                "perennial_challenger_failures_total", (query.pipeline, challenger.version)
            )
            return answer
        return self._answer(query, champion, CHAMPION, shadow, route)

    def shadow(self, query: Query, challenger: LoadedModel) -> None:
        """Ask a challenger what the champion has answered, for the log alone.

        Raises:
            PerennialError: it failed, or the log is full.
        """
        self._predict_and_log(query, challenger, SHADOW)

    def _answer(
        self,
        query: Query,
        model: LoadedModel,
        role: str,
        shadow: LoadedModel | None,
        route: Route | None = None,
    ) -> Answer:
        output = self._predict_and_log(query, model, role, route)
        job = None if shadow is None else lambda: self.shadow(query, shadow)
        return Answer(model, role, output, job)

    def _predict_and_log(
        self, query: Query, model: LoadedModel, role: str, route: Route | None = None
    ) -> NDArray[np.float32]:
        encoded = query.encoded
        if model.signature_json != query.asked.signature_json:
            encoded = query.encode(model)
        ticket = None if role == SHADOW else query.request.ticket
        if ticket is None:
            output = model.predict(encoded)
        else:
            output = ticket.away(lambda: model.predict(encoded))
        if not _is_finite(output):
            _refuse_huge(model, encoded)
            raise ModelError(f"version {model.version} of {query.pipeline} answered NaN")
        if role != SHADOW:
            query.request.claim()
        ids, elapsed = query.logged_ids, time.perf_counter() - query.request.started
        self._log.predictions(
            query.pipeline,
            model.signature_json,
            record(ids, encoded, output, model.version, role, int(elapsed * 1e6), route),
        )
        self._metrics.meter(query.pipeline, model.version, role).count(len(output), elapsed)
        return output


def choose(
    served: Served, champion: LoadedModel, key: str
) -> tuple[LoadedModel, str, LoadedModel | None, Route | None]:
    """Say who answers, in which role, whose shadow follows, and how that was chosen.

    Args:
        champion: of the moment at which the request was read.
        key: routing key.
    """
    challenger, placement = served.challenger, served.placement
    if challenger is None:
        return champion, CHAMPION, None, None
    if placement.weight == 0.0:
        shadow = challenger if placement.stage == "shadow" else None
        return champion, CHAMPION, shadow, None
    route = Route(place(key, challenger.version), placement.weight)
    if route.to_challenger:
        return challenger, CHALLENGER, None, route
    return champion, CHAMPION, None, route


def _is_finite(output: NDArray[np.float32]) -> bool:
    if output.size == 1:
        return math.isfinite(output.item())
    return bool(np.isfinite(output).all())


def _refuse_huge(model: LoadedModel, encoded: EncodedRows) -> None:
    """See whether it is for the size of its numbers that a request has no finite answer.

    Raises:
        RequestError: it is: the same rows with moderate numbers are answered.
        ModelError: the model fails.
    """
    moderate = encoded._replace(numeric=np.clip(encoded.numeric, -_MODERATE, _MODERATE))
    if encoded.numeric.size and _is_finite(model.predict(moderate)):
        raise RequestError(
            f"numbers beyond {_MODERATE:g} make this model's answer no finite number"
        )


def _why_no_champion(pipeline: str, served: Served) -> str:
    refused = served.placement.refused
    if refused:
        reasons = "; ".join(f"{version} is refused: {why}" for version, why in refused.items())
        return f"{pipeline} has no champion that can be served: {reasons}"
    return f"{pipeline} has no champion yet: its first version is not registered"


def record(
    ids: list[str],
    encoded: EncodedRows,
    output: NDArray[Any],
    version: str,
    role: str,
    latency: int | list[int],
    routes: Route | list[Route] | None,
) -> PredictionRecord:
    """Bring answered rows into the form in which they are logged.

    Args:
        ids: one a row, or one for all.
        latency: microseconds, of all rows together or one a row.
        routes: of all rows together or one a row, by one weight; None: nobody had to choose.
    """
    key: int | list[int] = 0
    weight = 0.0
    if isinstance(routes, Route):
        key, weight = routes.place, routes.weight
    elif routes:
        key, weight = [route.place for route in routes], routes[0].weight
    return PredictionRecord(
        time=time.time_ns() // 1000,
        version=version,
        role=role,
        latency=latency,
        rows=len(output),
        ids=ids,
        numeric=np.ascontiguousarray(encoded.numeric).data,
        categorical=encoded.categorical.tolist() if encoded.categorical.shape[1] else None,
        context=encoded.context or None,
        output=np.ascontiguousarray(output).data,
        single=encoded.numeric.dtype == np.float32,
        key=key,
        weight=weight,
    )
