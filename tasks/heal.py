"""Put a new head on the champion's base, or take one off: a candidate that is one graph."""

from __future__ import annotations

from prefect.logging import get_run_logger

from perennial.drift.record import Check
from perennial.evaluation.mixing import Mixture
from perennial.loop.versions import metrics_of
from perennial.registry import (
    Declaration,
    base_of,
    next_version,
    read_base,
    read_file,
    read_signature,
    write_file,
)
from perennial.registry.manifest import MODEL_FILE, REFERENCE_FILE, SIGNATURE_FILE
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.division import RowsDivided
from tasks.request import RetrainRequest
from tasks.snapshot import SnapshotRef, rows_of
from tasks.step import step
from tasks.stopwatch import Stopwatch
from tasks.train import TRIAL_FILE, CandidateRef, ParityFigures, made_from


@step
def heal_champion(
    declaration: Declaration, ref: SnapshotRef, request: RetrainRequest, divided: RowsDivided
) -> CandidateRef:
    """Fit a head on the newest rows that the champion's base has not seen, and compose the two.

    A head that the champion has is replaced: there is never more than one on a base.

    Raises:
        TrainingError: there is nothing to learn from.
    """
    from perennial.training.heads.heal import heal

    spec = declaration.spec
    champion = divided.rival()
    assert champion is not None
    base = base_of(store(), champion)
    frame = rows_of(ref)
    watch = Stopwatch()
    rows, left_out = divided.rows.held, divided.rows.judged
    seen = frame.iloc[len(frame) - rows :]
    mixture = _mixture(request)
    graph, signature = read_base(store(), base), read_signature(store(), base)
    healed = heal(seen, spec, graph, signature, mixture, left_out=left_out)
    parity = healed.parity
    seconds, cpu_seconds = watch.seconds, watch.cpu_seconds
    version = next_version(store(), spec.name, healed.model)
    files = {
        MODEL_FILE: healed.model,
        TRIAL_FILE: healed.trial,
        SIGNATURE_FILE: read_file(store(), base, SIGNATURE_FILE),
        REFERENCE_FILE: read_file(store(), base, REFERENCE_FILE),
        **made_from(spec),
    }
    get_run_logger().info(
        "%s of %s on %d rows in %.2f s, parity within %.2g",
        request.depth,
        base.version,
        rows,
        seconds,
        parity.max_abs,
    )
    candidate = CandidateRef(
        pipeline=spec.name,
        version=version,
        estimator=base.lineage.estimator,
        files={
            name: write_file(store(), spec.name, version, name, data)
            for name, data in files.items()
        },
        trained_rows=rows,
        usual_rows=metrics_of(champion).usual_rows,
        holdout_rows=left_out,
        estimators=(),
        parity=ParityFigures.of(parity),
        train_seconds=seconds,
        cpu_seconds=cpu_seconds,
        depth=request.depth,
        mixture=mixture or Mixture(),
        base=base.version,
        trial_file=TRIAL_FILE,
        against=champion.version,
    )
    publish("heal", spec.name, _markdown(candidate), description=version)
    return candidate


def _mixture(request: RetrainRequest) -> Mixture | None:
    """The shares that the check which asks has found; asked for by hand, the whole head."""
    if request.depth == "unhead":
        return None
    check = None if request.cause is None else store().find(request.cause)
    if check is not None:
        decision = Check.model_validate_json(check.data).decision
        if decision.depth == request.depth and decision.mixture is not None:
            return decision.mixture
    return Mixture.model_validate({request.depth: 1.0})


def _markdown(candidate: CandidateRef) -> str:
    rows = [
        ("depth", candidate.depth),
        ("base", candidate.base),
        ("newest rows fitted on", f"{candidate.trained_rows:,}"),
        ("left out for the gate, then fitted on", f"{candidate.holdout_rows:,}"),
        ("seconds", f"{candidate.train_seconds:.2f}"),
        ("CPU seconds", f"{candidate.cpu_seconds:.2f}"),
    ]
    return table(["what", "figure"], rows)
