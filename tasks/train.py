"""Train, package into one ONNX graph, and see that the package answers as its source does."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pandas as pd
from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.datasets.stream import window_rows
from perennial.evaluation.gate import holdout_rows
from perennial.evaluation.span import VALIDATION_WINDOWS, choose_span
from perennial.registry import (
    Declaration,
    FileEntry,
    describe_environment,
    next_version,
    write_file,
)
from perennial.registry.manifest import (
    ENVIRONMENT_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    SIGNATURE_FILE,
    SPEC_FILE,
)
from perennial.spec import Cure, EstimatorName, PipelineSpec
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.snapshot import SnapshotRef, rows_of
from tasks.step import step
from tasks.versions import find_champion, metrics_of

if TYPE_CHECKING:
    from perennial.packaging.parity import Parity
    from perennial.training.train import Trained

REFERENCE_ROWS = 5_000


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
    usual_rows: int
    """Rows that the pipeline's first version was trained on."""
    holdout_rows: int
    """The newest rows of the snapshot, which the candidate's trial has not seen."""
    estimators: tuple[EstimatorName, ...]
    """Families that competed: all that are declared, but those that the time budget left out. A
    head has none."""
    parity: ParityFigures
    train_seconds: float
    depth: Cure = "retrain"
    base: str | None = None
    """The version whose graph it has taken over; None: it was trained anew."""
    trial_file: str = MODEL_FILE
    """The graph that the gate judges on the newest rows, which it has not seen."""


@step
def train_candidate(declaration: Declaration, ref: SnapshotRef) -> CandidateRef:
    """Fit the declared estimators on all but the newest rows and package the best one.

    Raises:
        TrainingError: none could be fitted.
    """
    from perennial.packaging.export import export
    from perennial.packaging.parity import check_parity
    from perennial.packaging.predictor import encode_frame
    from perennial.training.train import train

    spec = declaration.spec
    frame = rows_of(ref)
    started = time.perf_counter()
    window = window_rows(spec, frame)
    held = holdout_rows(len(frame), window, spec.gates)
    seen = frame.iloc[: len(frame) - held]
    champion = find_champion(spec.name)
    usual = len(seen) if champion is None else metrics_of(champion).usual_rows
    if champion is not None:
        seen = _rows_that_teach(seen, spec, usual, VALIDATION_WINDOWS * window)
    trained = train(seen, spec)
    model = export(trained.model, trained.signature)
    probe = encode_frame(trained.signature, seen)
    parity = check_parity(model, trained.signature, trained.model.predict, *probe)
    seconds = time.perf_counter() - started
    version = next_version(store(), spec.name, model)
    files = {
        MODEL_FILE: model,
        SIGNATURE_FILE: (trained.signature.model_dump_json(indent=2) + "\n").encode(),
        REFERENCE_FILE: thin_out(seen),
        **made_from(spec),
    }
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
        usual_rows=usual,
        holdout_rows=held,
        estimators=tuple(s.estimator for s in trained.scores if s.skipped is None),
        parity=ParityFigures.of(parity),
        train_seconds=seconds,
    )


def _rows_that_teach(
    frame: pd.DataFrame, spec: PipelineSpec, usual: int, validation_rows: int
) -> pd.DataFrame:
    """Leave out the oldest rows where a quick model shows that they teach what no longer holds."""
    from perennial.evaluation.yardstick import yardstick_losses

    losses = yardstick_losses(frame, spec)
    choice = choose_span(len(frame), losses, usual=usual, validation_rows=validation_rows)
    get_run_logger().info("training on the newest %d of %d rows", choice.rows, len(frame))
    return frame.iloc[len(frame) - choice.rows :]


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
