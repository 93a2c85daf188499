"""From encoded rows to a logged answer: route, predict, fall back, log, shadow.

Every protocol ends here, so that they all mean the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.errors import ModelError, RequestError
from perennial.packaging.predictor import EncodedRows
from perennial.serving.http import RETRY_SOON, HttpError
from perennial.serving.log import Log
from perennial.serving.metrics import Metrics
from perennial.serving.models import LoadedModel, ModelTable, Served
from perennial.serving.router import goes_to_challenger
from perennial.serving.segment import PredictionRecord

CHAMPION, CHALLENGER, SHADOW = "champion", "challenger", "shadow"


@dataclass(frozen=True, slots=True)
class Query:
    """Rows that one model shall answer."""

    pipeline: str
    version: str | None
    """The one that must answer; None: whoever the router chooses."""
    key: str
    """Routing key."""
    ids: list[str]
    """One a row."""
    encode: Callable[[LoadedModel], EncodedRows]
    """Brings the rows into a model's columns; raises RequestError where they do not fit."""
    started: float
    """`time.perf_counter` when the request was complete."""


@dataclass(frozen=True, slots=True)
class Answer:
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
            HttpError: 404, there is none of this name.
        """
        served = self._table.served.get(pipeline)
        if served is None:
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
            HttpError: as `model`.
            RequestError: the rows do not fit the model's signature.
            ModelError: the champion failed, or answered NaN.
            LogFull: the answer is not in the log and must not leave.
        """
        served = self.served(query.pipeline)
        champion = self.model(query.pipeline, query.version)
        challenger = served.challenger
        if query.version is not None or challenger is None:
            return self._answer(query, champion, _role(served, champion), None)
        weight = served.placement.weight
        if weight > 0.0 and goes_to_challenger(query.key, challenger.version, weight):
            try:
                return self._answer(query, challenger, CHALLENGER, None)
            except (ModelError, RequestError):
                answer = self._answer(query, champion, CHAMPION, None)
            # Only now is it known that the request was not at fault.
            self._metrics.add(
                "perennial_challenger_failures_total", (query.pipeline, challenger.version)
            )
            return answer
        shadow = challenger if served.placement.stage == "shadow" else None
        return self._answer(query, champion, CHAMPION, shadow)

    def _answer(
        self, query: Query, model: LoadedModel, role: str, shadow: LoadedModel | None
    ) -> Answer:
        output = self._predict_and_log(query, model, role)

        def run_shadow(challenger: LoadedModel) -> None:
            self._predict_and_log(query, challenger, SHADOW)

        job = None if shadow is None else lambda: run_shadow(shadow)
        return Answer(model, role, output, job)

    def _predict_and_log(self, query: Query, model: LoadedModel, role: str) -> NDArray[np.float32]:
        encoded = query.encode(model)
        output = model.predictor.predict(*encoded.inputs())
        if not np.isfinite(output).all():
            raise ModelError(f"version {model.version} of {query.pipeline} answered NaN")
        elapsed = time.perf_counter() - query.started
        self._log.predictions(
            query.pipeline,
            model.signature_json,
            _record(query.ids, encoded, output, model.version, role, elapsed),
        )
        labels = (query.pipeline, model.version, role)
        self._metrics.observe("perennial_request_seconds", labels, elapsed)
        self._metrics.add("perennial_rows_total", labels, len(query.ids))
        return output


def _role(served: Served, model: LoadedModel) -> str:
    return CHALLENGER if model is served.challenger else CHAMPION


def _why_no_champion(pipeline: str, served: Served) -> str:
    refused = served.placement.refused
    if refused:
        reasons = "; ".join(f"{version} is refused: {why}" for version, why in refused.items())
        return f"{pipeline} has no champion that can be served: {reasons}"
    return f"{pipeline} has no champion yet: its first version is not registered"


def _record(
    ids: list[str],
    encoded: EncodedRows,
    output: NDArray[Any],
    version: str,
    role: str,
    elapsed: float,
) -> PredictionRecord:
    return PredictionRecord(
        time=time.time_ns() // 1000,
        version=version,
        role=role,
        latency=int(elapsed * 1e6),
        ids=ids,
        numeric=encoded.numeric.tobytes(),
        categorical=encoded.categorical.tolist() if encoded.categorical.shape[1] else None,
        context=encoded.context or None,
        output=output.tobytes(),
    )
