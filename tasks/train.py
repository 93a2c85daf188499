"""Train, package into one ONNX graph, and see that the package answers as its source does."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pandas as pd
from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.evaluation.mixing import HeadTrial, Mixture
from perennial.evaluation.span import TrainingSpan
from perennial.loop.versions import metrics_of
from perennial.registry import (
    Declaration,
    FileEntry,
    base_of,
    describe_environment,
    next_version,
    read_base,
    read_signature,
    write_file,
)
from perennial.registry.manifest import (
    BASE_FILE,
    ENVIRONMENT_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    SIGNATURE_FILE,
    SPEC_FILE,
)
from perennial.spec import Cure, EstimatorName, PipelineSpec
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.division import RowsDivided
from tasks.snapshot import SnapshotRef, rows_of
from tasks.span import choose_rows
from tasks.step import step
from tasks.stopwatch import Stopwatch

if TYPE_CHECKING:
    from perennial.packaging.parity import Parity
    from perennial.training.train import Trained

REFERENCE_ROWS = 5_000
TRIAL_FILE = "trial.onnx"
RIVAL_FILE = "rival.onnx"


class ParityFigures(BaseModel):
    """How far the package's answers lie from its source's."""

    rows: int
    off: int
    """Rows beyond the tolerance."""
    max_abs: float
    tolerance: float

    @classmethod
    def of(cls, parity: Parity) -> ParityFigures:
        """Sum up a parity check."""
        return cls(
            rows=parity.rows,
            off=sum(check.off for check in parity.checks),
            max_abs=parity.max_abs,
            tolerance=parity.tolerance,
        )


class CandidateRef(BaseModel):
    """A packaged model whose files lie in the store, without a manifest yet."""

    pipeline: str
    version: str
    estimator: str
    files: dict[str, FileEntry]
    trained_rows: int
    half_life: int | None = None
    """A row that is so many rows older than another counted half as much; None: all alike."""
    usual_rows: int
    """Rows that the pipeline's first version was trained on."""
    holdout_rows: int
    """The newest rows of the snapshot, which the candidate's trial has not seen."""
    estimators: tuple[EstimatorName, ...]
    """Families that competed: all that are declared, but those that the time budget left out. A
    head has none."""
    head_rows: int = 0
    """The newest rows of the snapshot that a retrain left to its head."""
    mixture: Mixture = Mixture()
    """Shares of the heads in it."""
    trials: tuple[HeadTrial, ...] = ()
    """By which a retrain's heads have earned them."""
    parity: ParityFigures
    train_seconds: float
    cpu_seconds: float
    """That the training took."""
    depth: Cure = "retrain"
    base: str | None = None
    """The version whose graph it has taken over; None: it was trained anew."""
    trial_file: str = MODEL_FILE
    """The graph that the gate judges on the newest rows, which it has not seen."""
    rival_file: str | None = None
    """The graph that it is held against; None: the champion's own."""
    against: str | None = None
    """The champion that it is held against; None: it is a first version."""


@step
def train_candidate(
    declaration: Declaration, ref: SnapshotRef, divided: RowsDivided
) -> CandidateRef:
    """Fit the declared estimators on all but the newest rows and package the best one.

    Raises:
        TrainingError: none could be fitted.
    """
    from perennial.packaging.export import export
    from perennial.packaging.parity import check_parity
    from perennial.packaging.predictor import encode_frame
    from perennial.training.heads.heal import give_heads
    from perennial.training.source import dump_source
    from perennial.training.train import train

    spec = declaration.spec
    frame = rows_of(ref)
    watch = Stopwatch()
    held, judged = divided.rows.held, divided.rows.judged
    end = len(frame) - held
    champion = divided.rival()
    if champion is None:
        span = TrainingSpan(end)
        usual = span.rows
    else:
        usual = metrics_of(champion).usual_rows
        # Too few rows for heads are too few to choose a span by.
        span = TrainingSpan(end)
        if divided.rows.heads:
            span = choose_rows(frame, spec, champion, held=held, judged=judged)
    seen = frame.iloc[end - span.rows : end]
    trained = train(seen, spec, half_life=span.half_life, spent=watch.seconds)
    base = export(trained.model, trained.signature)
    probe = encode_frame(trained.signature, seen)
    parity = check_parity(base, trained.signature, trained.model.predict, *probe)
    born = None
    if champion is not None and divided.rows.heads:
        theirs = base_of(store(), champion)
        born = give_heads(
            frame.iloc[end:],
            spec,
            base,
            trained.signature,
            read_base(store(), theirs),
            read_signature(store(), theirs),
            judged=judged,
        )
    seconds, cpu_seconds = watch.seconds, watch.cpu_seconds
    model = base if born is None else born.model
    version = next_version(store(), spec.name, model)
    source_file, source = dump_source(trained.estimator, trained.model)
    files = {
        MODEL_FILE: model,
        source_file: source,
        SIGNATURE_FILE: (trained.signature.model_dump_json(indent=2) + "\n").encode(),
        REFERENCE_FILE: thin_out(seen),
        **made_from(spec),
    }
    if born is not None:
        files |= {BASE_FILE: base, TRIAL_FILE: born.trial, RIVAL_FILE: born.rival}
    get_run_logger().info(
        "%s on %d rows in %.1f s, parity within %.2g",
        trained.estimator,
        len(seen),
        seconds,
        parity.max_abs,
    )
    publish("training", spec.name, _markdown(trained, parity), description=version)
    return CandidateRef(
        pipeline=spec.name,
        version=version,
        estimator=trained.estimator,
        files={
            name: write_file(store(), spec.name, version, name, data)
            for name, data in files.items()
        },
        trained_rows=len(seen),
        half_life=span.half_life,
        usual_rows=usual,
        holdout_rows=judged,
        head_rows=0 if born is None else held,
        mixture=Mixture() if born is None else born.mixture,
        trials=() if born is None else born.trials,
        estimators=tuple(s.estimator for s in trained.scores if s.skipped is None),
        parity=ParityFigures.of(parity if born is None else worse(parity, born.parity)),
        train_seconds=seconds,
        cpu_seconds=cpu_seconds,
        trial_file=MODEL_FILE if born is None else TRIAL_FILE,
        rival_file=None if born is None else RIVAL_FILE,
        against=divided.champion,
    )


def worse(one: Parity, other: Parity) -> Parity:
    """The parity check that came out worse."""
    return max(one, other, key=lambda parity: sum(check.off for check in parity.checks))


def made_from(spec: PipelineSpec) -> dict[str, bytes]:
    """The files by which a version can be made again: its declaration, and the environment."""
    models = {SPEC_FILE: spec, ENVIRONMENT_FILE: describe_environment()}
    return {name: (m.model_dump_json(indent=2) + "\n").encode() for name, m in models.items()}


def thin_out(frame: pd.DataFrame) -> bytes:
    """Rows that the model was trained on, evenly drawn: what drift is measured against."""
    step = max(1, -(-len(frame) // REFERENCE_ROWS))
    buffer = io.BytesIO()
    frame.iloc[::step].to_parquet(buffer, index=False)
    return buffer.getvalue()


def _markdown(trained: Trained, parity: Parity) -> str:
    rows = [
        (s.estimator, "" if s.value is None else s.value, f"{s.seconds:.1f}", s.skipped or "")
        for s in trained.scores
    ]
    head = (
        f"**{trained.estimator}** on {trained.rows:,} rows, chosen on the newest "
        f"{trained.validation_rows:,} of them. The packaged graph answers as it does on "
        f"{parity.rows:,} rows, to within {parity.max_abs:.2g}.\n\n"
    )
    return head + table(["estimator", "validation", "seconds", "left out"], rows)
