"""Hold a candidate against the champion, and its package against what serving asks of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from perennial.datasets.snapshot import span_of
from perennial.datasets.stream import label_lag
from perennial.drift.loss import promise
from perennial.errors import ModelError
from perennial.evaluation import packaged
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
from perennial.evaluation.rivals import Scores, score_rivals
from perennial.evaluation.targets import align_classes, encode_known
from perennial.loop.versions import Metrics, answer, load_version, metrics_of
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.packaging.runtime import graph_formats
from perennial.packaging.signature import Signature
from perennial.registry import (
    Declaration,
    FileEntry,
    Manifest,
    Runtime,
    base_of,
    read_manifest,
    read_signature,
    write_file,
)
from perennial.registry.manifest import GATE_FILE, METRICS_FILE, MODEL_FILE, SIGNATURE_FILE
from perennial.serving.trial import TrialServer, trial_server
from perennial.spec import HeadDepth, PipelineSpec
from perennial.store import layout
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.snapshot import SnapshotRef, rows_of
from tasks.step import step
from tasks.train import CandidateRef

SERVED_ROWS = 64
"""Rows that the candidate's own server has to answer."""
_SCORE_CONFIDENCE = 0.9


class GateResult(BaseModel):
    """The decision and the files that record it."""

    decision: GateDecision
    metrics: Metrics
    runtime: Runtime
    files: dict[str, FileEntry]

    @property
    def passed(self) -> bool:
        """Whether the candidate may be registered."""
        return self.decision.passed


@dataclass(frozen=True, eq=False)
class _Contest:
    """Both models on the rows that neither has learned from."""

    candidate: Predictor
    champion: Predictor | None
    held: pd.DataFrame
    """The rows whose label the candidate has terms for, in time order."""
    y: NDArray[Any]
    output: NDArray[Any]
    theirs: NDArray[Any] | None
    training: pd.DataFrame
    lag: int


@step(retries=1, retry_delay_seconds=2)
def judge_candidate(
    declaration: Declaration,
    snapshot: SnapshotRef,
    candidate: CandidateRef,
    later: tuple[Leak, ...],
) -> GateResult:
    """Let candidate and champion answer the held-out rows, compare, and write the decision down.

    A server of the candidate's own starts meanwhile, and has to answer some of the rows too.

    Args:
        later: features that served rows show to be filled in or changed later.
    """
    spec = declaration.spec
    started = time.perf_counter()
    model, trial, signature = _read_candidate(candidate)
    with trial_server(model, signature) as server:
        contest = _contest(spec, rows_of(snapshot), candidate, Predictor(trial, signature))
        judged = _judge_answers(spec, contest, candidate)
        leaks = _leaks(spec, contest, later)
        checks = [*_package_checks(spec, contest, candidate, len(model))]
        checks += _leakage_checks(spec, contest, leaks, judged)
        checks.append(_servability(contest, Predictor(model, signature), server))
    decision = decide(
        [*checks, *judged.checks],
        rows=judged.rows,
        slices=judged.slices,
        leaks=leaks,
        scores=_scores(spec, contest),
        seconds=round(time.perf_counter() - started, 3),
    )
    metrics = _metrics(spec, contest, candidate, decision)
    ir, opsets = graph_formats(model)
    publish("gate", spec.name, _markdown(decision), description=candidate.version)
    return GateResult(
        decision=decision,
        metrics=metrics,
        runtime=Runtime(ir=ir, opsets=opsets),
        files=_record(candidate, decision, metrics),
    )


def _read_candidate(candidate: CandidateRef) -> tuple[bytes, bytes, Signature]:
    """The graph that would be served, the one that is judged, and what both take and give."""

    def data(name: str) -> bytes:
        key = layout.version_file(candidate.pipeline, candidate.version, name)
        return store().get(key).data

    signature = Signature.model_validate_json(data(SIGNATURE_FILE))
    return data(MODEL_FILE), data(candidate.trial_file), signature


def _contest(
    spec: PipelineSpec, frame: pd.DataFrame, candidate: CandidateRef, mine: Predictor
) -> _Contest:
    held = frame.iloc[len(frame) - candidate.holdout_rows :]
    y, known = encode_known(held[spec.target], mine.signature)
    held = held[known]
    manifest = _against(candidate)
    champion = None if manifest is None else load_version(store(), manifest)
    rival = champion if candidate.rival_file is None else _rival(candidate, manifest)
    theirs = None if rival is None else _aligned(rival, held, mine.signature)
    end = len(frame) - candidate.holdout_rows
    return _Contest(
        candidate=mine,
        champion=champion,
        held=held,
        y=y,
        output=answer(mine, held),
        theirs=theirs,
        training=frame.iloc[max(0, end - candidate.trained_rows) : end],
        lag=label_lag(spec, frame),
    )


def _against(candidate: CandidateRef) -> Manifest | None:
    """The champion by which the rows were divided: one that has taken over since may know them."""
    if candidate.against is None:
        return None
    return read_manifest(store(), candidate.pipeline, candidate.against)


def _rival(candidate: CandidateRef, champion: Manifest | None) -> Predictor | None:
    """The champion's base with a head of the same rows as the candidate's: the champion's own head
    was fitted on the very rows that are judged."""
    if champion is None or candidate.rival_file is None:
        return None
    key = layout.version_file(candidate.pipeline, candidate.version, candidate.rival_file)
    return Predictor(store().get(key).data, read_signature(store(), base_of(store(), champion)))


def _aligned(champion: Predictor, held: pd.DataFrame, signature: Signature) -> NDArray[Any]:
    """The champion's answers with its columns in the candidate's order of classes."""
    return align_classes(answer(champion, held), champion.signature.classes, signature.classes)


def _judge_answers(spec: PipelineSpec, contest: _Contest, candidate: CandidateRef) -> GateDecision:
    training, _ = encode_known(contest.training[spec.target], contest.candidate.signature)
    return judge(
        task=spec.task,
        metric=spec.metric,
        y=contest.y,
        candidate=contest.output,
        champion=contest.theirs,
        training_y=training,
        gates=spec.gates,
        lag=contest.lag,
        tried=candidate.depth in get_args(HeadDepth),
        frame=contest.held,
        features=_features(contest),
    )


def _scores(spec: PipelineSpec, contest: _Contest) -> Scores:
    training, _ = encode_known(contest.training[spec.target], contest.candidate.signature)
    return score_rivals(
        task=spec.task,
        metric=spec.metric,
        y=contest.y,
        candidate=contest.output,
        champion=contest.theirs,
        training_y=training,
        lag=contest.lag,
    )


def _features(contest: _Contest) -> tuple[str, ...]:
    return tuple(feature.name for feature in contest.candidate.signature.features)


def _leaks(spec: PipelineSpec, contest: _Contest, later: tuple[Leak, ...]) -> tuple[Leak, ...]:
    return find_leaks(
        pd.concat([contest.training, contest.held]),
        _features(contest),
        spec.target,
        spec.task,
        held=len(contest.held),
        lag=contest.lag,
        allowed=spec.gates.allow_leakage,
        later=later,
    )


def _leakage_checks(
    spec: PipelineSpec, contest: _Contest, leaks: tuple[Leak, ...], judged: GateDecision
) -> list[GateCheck]:
    standing = contest.champion.signature.features if contest.champion is not None else ()
    checks = [leakage_check(leaks, tuple(feature.name for feature in standing))]
    if hardly_errs(judged.checks):
        rows = pd.concat([contest.training, contest.held])
        strongest = strongest_of(rows, _features(contest), spec.target, spec.task)
        checks.append(too_good_check(strongest))
    return checks


def _package_checks(
    spec: PipelineSpec, contest: _Contest, candidate: CandidateRef, size: int
) -> list[GateCheck]:
    mine, gates, parity = contest.candidate, spec.gates, candidate.parity
    one = encode_frame(mine.signature, contest.training.iloc[-1:])
    champion = None if contest.champion is None else contest.champion.signature
    return [
        packaged.check_size(size, gates.size_mb),
        packaged.check_latency(packaged.time_one_row(lambda: mine.predict(*one)), gates.latency_ms),
        packaged.check_signature(mine.signature, champion, held=gates.signature == "compatible"),
        packaged.check_parity_of(parity.off, parity.rows, parity.max_abs, parity.tolerance),
    ]


def _servability(contest: _Contest, model: Predictor, server: TrialServer) -> GateCheck:
    rows = encode_frame(model.signature, contest.held.iloc[-SERVED_ROWS:])
    expected = model.predict(*rows)
    try:
        served = server.ask(*rows)
    except ModelError as error:
        return packaged.check_served(None, expected, str(error))
    return packaged.check_served(served, expected, None)


def _metrics(
    spec: PipelineSpec, contest: _Contest, candidate: CandidateRef, decision: GateDecision
) -> Metrics:
    y, output = contest.y, contest.output
    figure = score(spec.metric, y, output)
    low, high = score_interval(spec.metric, y, output, _SCORE_CONFIDENCE) or (None, None)
    champion = _against(candidate)
    first, last = span_of(contest.held, spec.time)
    relative = {c.name: c for c in decision.checks}.get("not_worse_than_champion")
    return Metrics(
        metric=spec.metric,
        score=figure if np.isfinite(figure) else None,
        low=low,
        high=high,
        rows=len(y),
        first=first,
        last=last,
        against=candidate.against,
        change=None if relative is None else relative.figure,
        change_low=None if relative is None else relative.low,
        change_high=None if relative is None else relative.high,
        trained_rows=candidate.trained_rows,
        usual_rows=candidate.usual_rows,
        promise=promise(
            spec.task,
            spec.metric,
            y,
            output,
            standing=None if champion is None else metrics_of(champion).promise,
        ),
        trials=candidate.trials,
        shift=_shift(contest),
    )


def _shift(contest: _Contest) -> float | None:
    """How far the answers lie from those of the champion as it stands, where both have some: live
    rows will be held against it."""
    if contest.champion is None or len(contest.held) < 2:
        return None
    theirs = _aligned(contest.champion, contest.held, contest.candidate.signature)
    figure = prediction_shift(theirs, contest.output)
    return figure if np.isfinite(figure) else None


def _record(
    candidate: CandidateRef, decision: GateDecision, metrics: Metrics
) -> dict[str, FileEntry]:
    return {
        name: write_file(
            store(),
            candidate.pipeline,
            candidate.version,
            name,
            (model.model_dump_json(indent=2) + "\n").encode(),
        )
        for name, model in ((GATE_FILE, decision), (METRICS_FILE, metrics))
    }


def _markdown(decision: GateDecision) -> str:
    from perennial.report.gate import HEADER, check_rows, lead

    return "\n\n".join([*lead(decision), table(HEADER, check_rows(decision))])
