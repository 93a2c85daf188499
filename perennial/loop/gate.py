"""The gate of a candidate: its trial against the champion, and what would serve against what
serving asks of it.

The answers are judged on rows that neither has learned from, so it is the trial that gives them;
size, speed, signature, parity, servability and leaks are those of the model that would serve.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.datasets.snapshot import span_of
from perennial.datasets.stream import label_lag
from perennial.drift.estimate import Answered
from perennial.drift.loss import promise
from perennial.errors import ModelError
from perennial.evaluation import packaged
from perennial.evaluation.answers import Answers
from perennial.evaluation.decision import GateCheck, GateDecision, Leak, decide
from perennial.evaluation.gate import judge
from perennial.evaluation.interval import score_interval
from perennial.evaluation.leakage import (
    find_leaks,
    hardly_errs,
    leakage_check,
    strongest_of,
    too_good_check,
)
from perennial.evaluation.metrics import prediction_shift, score
from perennial.evaluation.rivals import score_rivals
from perennial.evaluation.targets import align_classes, encode_known
from perennial.loop.candidate import Candidate
from perennial.loop.versions import Answering, Champion, Metrics, answer
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.packaging.runtime import graph_formats
from perennial.packaging.signature import Signature
from perennial.registry import Runtime
from perennial.spec import PipelineSpec

SERVED_ROWS = 64
"""Rows that the candidate's own server has to answer."""
_SCORE_CONFIDENCE = 0.9


class Server(Protocol):
    """A server of a candidate's own, under way."""

    def ask(
        self, numeric: NDArray[np.float32] | None, categorical: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        """Answer rows over the network.

        Raises:
            ModelError: the model cannot be served.
        """
        ...


Serve = Callable[[bytes, Signature], AbstractContextManager[Server]]
"""Starts a server of a graph, such as `perennial.serving.trial.trial_server`."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a gate found."""

    decision: GateDecision
    metrics: Metrics
    runtime: Runtime
    answered: Answered
    """The rows that judged, and what the trial answered, in the classes of what would serve."""

    @property
    def passed(self) -> bool:
        """Whether the candidate may be registered."""
        return self.decision.passed


@dataclass(frozen=True, eq=False)
class _Contest:
    """Both models on the rows that neither has learned from."""

    answers: Answers
    held: pd.DataFrame
    """The rows whose label the trial has terms for, in time order."""
    training: pd.DataFrame
    shift: float | None
    """How far the answers of what would serve lie from those of the champion as it stands: live
    rows will be held against it. None: there is none, or too few rows."""


def judge_candidate(
    candidate: Candidate,
    spec: PipelineSpec,
    champion: Champion | None,
    *,
    later: tuple[Leak, ...] = (),
    serve: Serve | None = None,
) -> Judgement:
    """Let candidate and champion answer the rows held for it, compare, and decide.

    Args:
        champion: the one against which the candidate's rows were divided.
        later: features that served rows show to be filled in or changed later.
        serve: starts a server of the candidate's own meanwhile, which has to answer some of the
            rows too; None: whether it can be served is left open.
    """
    started = time.perf_counter()
    model = candidate.model
    with nullcontext() if serve is None else serve(model.graph, model.signature) as server:
        contest = _hold_contest(candidate, spec, champion)
        judged = judge(
            contest.answers,
            spec.gates,
            goes_on=not candidate.anew or _knows_more(candidate, champion),
            rematch=candidate.rematch,
            frame=contest.held,
            features=_names(candidate.trial.signature),
        )
        leaks = find_leaks(
            pd.concat([contest.training, contest.held]),
            _names(model.signature),
            spec.target,
            spec.task,
            held=len(contest.held),
            lag=contest.answers.lag,
            allowed=spec.gates.allow_leakage,
            later=later,
        )
        standing = None if champion is None else champion.signature
        checks = _package_checks(candidate, spec, standing, contest)
        checks.append(leakage_check(leaks, () if standing is None else _names(standing)))
        if hardly_errs(judged.checks):
            checks.append(_too_good(candidate, spec, contest))
        if server is not None:
            checks.append(_servability(model.predictor, contest.held, server))
    decision = decide(
        [*checks, *judged.checks],
        rows=judged.rows,
        slices=judged.slices,
        leaks=leaks,
        scores=score_rivals(contest.answers),
        seconds=round(time.perf_counter() - started, 3),
    )
    ir, opsets = graph_formats(model.graph)
    return Judgement(
        decision=decision,
        metrics=_metrics(candidate, spec, champion, contest, decision),
        runtime=Runtime(ir=ir, opsets=opsets),
        answered=_in_classes_of(candidate, spec, contest),
    )


def _hold_contest(candidate: Candidate, spec: PipelineSpec, champion: Champion | None) -> _Contest:
    rows, trial = candidate.rows, candidate.trial
    y, known = encode_known(rows.to_judge[spec.target], trial.signature)
    held = rows.to_judge[known]
    training_y, _ = encode_known(rows.before_judged[spec.target], trial.signature)
    output = answer(trial, held)
    theirs = None
    if champion is not None:
        # The champion, or its head, was fitted on the very rows that are judged.
        rival = champion.served if candidate.rival is None else candidate.rival.predictor
        theirs = _aligned(rival, held, trial.signature)
    answers = Answers(
        task=spec.task,
        metric=spec.metric,
        y=y,
        candidate=output,
        champion=theirs,
        training_y=training_y,
        lag=label_lag(spec, rows.frame),
    )
    return _Contest(answers, held, rows.before_judged, _shift(candidate, champion, held))


def _in_classes_of(candidate: Candidate, spec: PipelineSpec, contest: _Contest) -> Answered:
    trial, model = candidate.trial.signature, candidate.model.signature
    output = align_classes(contest.answers.candidate, trial.classes, model.classes)
    y, _ = encode_known(contest.held[spec.target], model)
    return Answered(contest.held, output, y)


def _aligned(predictor: Answering, held: pd.DataFrame, signature: Signature) -> NDArray[Any]:
    """Answers with their columns in the candidate's order of classes."""
    return align_classes(answer(predictor, held), predictor.signature.classes, signature.classes)


def _shift(candidate: Candidate, champion: Champion | None, held: pd.DataFrame) -> float | None:
    if champion is None or len(held) < 2:
        return None
    # The trial knows less of a changed world than what would serve, and answers more as before.
    model = candidate.model
    standing = _aligned(champion.served, held, model.signature)
    return _finite(prediction_shift(standing, answer(model.predictor, held)))


def _knows_more(candidate: Candidate, champion: Champion | None) -> bool:
    """Whether there are classes that the champion cannot answer with, so that it has to go."""
    known = () if champion is None else champion.signature.classes
    return bool(known) and not set(candidate.model.signature.classes) <= set(known)


def _names(signature: Signature) -> tuple[str, ...]:
    return tuple(feature.name for feature in signature.features)


def _package_checks(
    candidate: Candidate, spec: PipelineSpec, standing: Signature | None, contest: _Contest
) -> list[GateCheck]:
    model, gates, parity = candidate.model, spec.gates, candidate.parity
    one = encode_frame(model.signature, contest.training.iloc[-1:])
    times = packaged.time_one_row(lambda: model.predictor.predict(*one))
    off = sum(check.off for check in parity.checks)
    return [
        packaged.check_size(len(model.graph), gates.size_mb),
        packaged.check_latency(times, gates.latency_ms),
        packaged.check_signature(model.signature, standing, held=gates.signature == "compatible"),
        packaged.check_parity_of(off, parity.rows, parity.max_abs, parity.tolerance),
    ]


def _too_good(candidate: Candidate, spec: PipelineSpec, contest: _Contest) -> GateCheck:
    rows = pd.concat([contest.training, contest.held])
    names = _names(candidate.model.signature)
    return too_good_check(strongest_of(rows, names, spec.target, spec.task))


def _servability(model: Predictor, held: pd.DataFrame, server: Server) -> GateCheck:
    rows = encode_frame(model.signature, held.iloc[-SERVED_ROWS:])
    expected = model.predict(*rows)
    try:
        served = server.ask(*rows)
    except ModelError as error:
        return packaged.check_served(None, expected, str(error))
    return packaged.check_served(served, expected, None)


def _metrics(
    candidate: Candidate,
    spec: PipelineSpec,
    champion: Champion | None,
    contest: _Contest,
    decision: GateDecision,
) -> Metrics:
    y, output = contest.answers.y, contest.answers.candidate
    low, high = score_interval(spec.metric, y, output, _SCORE_CONFIDENCE) or (None, None)
    first, last = span_of(contest.held, spec.time)
    relative = {c.name: c for c in decision.checks}.get("not_worse_than_champion")
    return Metrics(
        metric=spec.metric,
        score=_finite(score(spec.metric, y, output)),
        low=low,
        high=high,
        rows=len(y),
        first=first,
        last=last,
        against=candidate.against,
        change=None if relative is None else relative.figure,
        change_low=None if relative is None else relative.low,
        change_high=None if relative is None else relative.high,
        trained_rows=candidate.recipe.trained_rows,
        usual_rows=candidate.usual_rows,
        promise=promise(
            spec.task,
            spec.metric,
            y,
            output,
            standing=None if champion is None else champion.metrics.promise,
        ),
        shift=contest.shift,
    )


def _finite(figure: float) -> float | None:
    return figure if np.isfinite(figure) else None
