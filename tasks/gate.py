"""Hold a candidate against the champion on rows that neither has seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from perennial.drift.loss import promise
from perennial.evaluation.gate import GateDecision, judge
from perennial.evaluation.metrics import prediction_shift, score
from perennial.evaluation.targets import align_classes, encode_known
from perennial.packaging.predictor import Predictor
from perennial.packaging.signature import Signature
from perennial.registry import Declaration, FileEntry, Manifest, write_file
from perennial.registry.versions import GATE_FILE, METRICS_FILE, SIGNATURE_FILE
from perennial.store import layout
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.snapshot import SnapshotRef, rows_of
from tasks.step import step
from tasks.train import CandidateRef
from tasks.versions import Metrics, answer, find_champion, load_version, metrics_of


class GateResult(BaseModel):
    """The decision and the files that record it."""

    decision: GateDecision
    metrics: Metrics
    files: dict[str, FileEntry]

    @property
    def passed(self) -> bool:
        """Whether the candidate may be registered."""
        return self.decision.passed


@step(retries=1, retry_delay_seconds=2)
def judge_candidate(
    declaration: Declaration, snapshot: SnapshotRef, candidate: CandidateRef
) -> GateResult:
    """Let candidate and champion answer the held-out rows, compare, and write the decision down."""
    spec = declaration.spec
    frame = rows_of(snapshot)
    held = frame.iloc[len(frame) - candidate.holdout_rows :]
    mine = _read_candidate(candidate)
    y, known = encode_known(held[spec.target], mine.signature)
    output = answer(mine, held)[known]
    seen = frame.iloc[-len(held) - candidate.trained_rows : -len(held)]
    training, _ = encode_known(seen[spec.target], mine.signature)
    champion = find_champion(spec.name)
    theirs = None if champion is None else _answers_of(champion, held, mine.signature)[known]
    decision = judge(
        task=spec.task,
        metric=spec.metric,
        y=y,
        candidate=output,
        champion=theirs,
        training_y=training,
        gates=spec.gates,
    )
    figure = score(spec.metric, y, output)
    metrics = Metrics(
        metric=spec.metric,
        score=figure if np.isfinite(figure) else None,
        rows=len(y),
        trained_rows=candidate.trained_rows,
        usual_rows=candidate.usual_rows,
        promise=promise(
            spec.task,
            spec.metric,
            y,
            output,
            standing=None if champion is None else metrics_of(champion).promise,
        ),
        shift=_shift(theirs, output),
    )
    publish("gate", spec.name, _markdown(decision), description=candidate.version)
    return GateResult(
        decision=decision, metrics=metrics, files=_record(candidate, decision, metrics)
    )


def _read_candidate(candidate: CandidateRef) -> Predictor:
    def data(name: str) -> bytes:
        key = layout.version_file(candidate.pipeline, candidate.version, name)
        return store().get(key).data

    signature = Signature.model_validate_json(data(SIGNATURE_FILE))
    return Predictor(data(candidate.trial_file), signature)


def _answers_of(champion: Manifest, held: pd.DataFrame, signature: Signature) -> NDArray[Any]:
    """The champion's answers with its columns in the candidate's order of classes."""
    predictor = load_version(champion)
    output = answer(predictor, held)
    return align_classes(output, predictor.signature.classes, signature.classes)


def _shift(champion: NDArray[Any] | None, candidate: NDArray[Any]) -> float | None:
    """How far the answers of the two lie apart, where both have some."""
    if champion is None or len(champion) < 2:
        return None
    figure = prediction_shift(champion, candidate)
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
    verdict = "Passed" if decision.passed else "Refused"
    rows = [
        (c.name, _figure(c.figure), _figure(c.threshold), "yes" if c.passed else "NO", c.detail)
        for c in decision.checks
    ]
    head = f"**{verdict}** on {decision.rows:,} rows: {decision.reason}\n\n"
    return head + table(["check", "figure", "threshold", "passed", "in words"], rows)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
