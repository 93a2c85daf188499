"""Make a version of a candidate that passed, and write down one that did not."""

from __future__ import annotations

from functools import partial
from typing import Literal

from prefect.logging import get_run_logger
from pydantic import AwareDatetime, BaseModel

from perennial import __version__
from perennial.drift.record import Check
from perennial.packaging.signature import Signature
from perennial.registry import (
    Declaration,
    FileEntry,
    Lineage,
    Manifest,
    Recipe,
    RefusedCandidate,
    State,
    change_state,
    code_revision,
    describe_environment,
    new_entry,
    read_state,
    refuse,
    register,
    write_file,
)
from perennial.registry.environment import THREADS, source_sha256
from perennial.registry.manifest import (
    CARD_FILE,
    ENVIRONMENT_FILE,
    GATE_FILE,
    PAGE_FILE,
    SIGNATURE_FILE,
)
from perennial.rollout.stages import challenge
from perennial.spec import Cure, Rollout
from perennial.store import Lease, layout
from perennial.store.lease import utc_now
from tasks import events
from tasks.artifacts import link, publish
from tasks.connection import store
from tasks.gate import GateResult
from tasks.snapshot import SnapshotRef, describe
from tasks.step import step
from tasks.train import CandidateRef


class RetrainRequest(BaseModel):
    """Who or what asked for a retrain, and why."""

    reason: str
    cause: str | None
    """Key of the check that asked for it."""
    run: str
    started_at: AwareDatetime
    """When the run's first line was reached."""
    depth: Cure
    span: int | None
    """Newest labelled rows that a head is fitted on; None: a few windows."""

    @property
    def window(self) -> str | None:
        """The window that the cause is about."""
        return None if self.cause is None else layout.checked_window(self.cause)


@step(retries=2, retry_delay_seconds=2)
def is_answered(pipeline: str, request: RetrainRequest) -> bool:
    """Tell whether an earlier retrain has answered the check that asks: its event came twice."""
    answered = read_state(store(), pipeline).state.answered
    return request.window is not None and answered is not None and request.window <= answered


@step
def register_candidate(
    declaration: Declaration,
    lease: Lease,
    snapshot: SnapshotRef,
    candidate: CandidateRef,
    gate: GateResult,
    request: RetrainRequest,
) -> Manifest:
    """Write the manifest, name the version challenger, and tell the rollout.

    Raises:
        LeaseLost: another run may change this pipeline by now; nothing was registered.
    """
    spec = declaration.spec
    manifest = _manifest(declaration, lease, snapshot, candidate, gate, request)
    register(store(), lease, manifest)
    _answer(lease, candidate, gate, request, "version.registered", spec.rollout)
    get_run_logger().info("registered %s", manifest.version)
    _publish(manifest)
    events.emit(
        events.VERSION_REGISTERED,
        spec.name,
        {
            "version": manifest.version,
            "depth": request.depth,
            "reason": request.reason,
            "verdict": request.cause,
        },
    )
    return manifest


@step
def refuse_candidate(
    declaration: Declaration,
    lease: Lease,
    snapshot: SnapshotRef,
    candidate: CandidateRef,
    gate: GateResult,
    request: RetrainRequest,
) -> None:
    """Write down that a candidate failed its gate: the shift that asked for it is answered.

    It is kept, with its reasons, for as long as ``gates.keep_refused`` says.

    Raises:
        LeaseLost: another run may change this pipeline by now.
    """
    manifest = _manifest(declaration, lease, snapshot, candidate, gate, request)
    kept = RefusedCandidate(
        **dict(manifest),
        reason=gate.decision.reason,
        keep_until=manifest.created_at + declaration.spec.gates.keep_refused,
    )
    refuse(store(), lease, kept)
    _answer(lease, candidate, gate, request, "version.refused")


def _publish(manifest: Manifest) -> None:
    """Show the version's page, with links to what lies beside it."""
    name, version = manifest.pipeline, manifest.version
    key = partial(layout.version_file, name, version)
    card = store().get(key(CARD_FILE)).data.decode()
    links = f"{link(key(PAGE_FILE), 'The page')}, {link(key(GATE_FILE), 'its gate')}."
    publish("version", name, f"{links}\n\n{card}", description=version)


def _manifest(
    declaration: Declaration,
    lease: Lease,
    snapshot: SnapshotRef,
    candidate: CandidateRef,
    gate: GateResult,
    request: RetrainRequest,
) -> Manifest:
    """Tell where a candidate came from, and write its page beside its files."""
    spec = declaration.spec
    manifest = Manifest(
        pipeline=spec.name,
        version=candidate.version,
        task=spec.task,
        created_at=utc_now(),
        fence=lease.token,
        files={**candidate.files, **gate.files},
        lineage=_lineage(declaration, snapshot, candidate, request),
        runtime=gate.runtime,
        metrics=gate.metrics.model_dump(mode="json"),
    )
    pages = _write_pages(declaration, manifest, snapshot, gate)
    return manifest.model_copy(update={"files": {**manifest.files, **pages}})


def _lineage(
    declaration: Declaration,
    snapshot: SnapshotRef,
    candidate: CandidateRef,
    request: RetrainRequest,
) -> Lineage:
    spec = declaration.spec
    return Lineage(
        snapshot=snapshot.sha256,
        spec=declaration.sha256,
        code=__version__,
        sources=source_sha256(),
        revision=code_revision(),
        environment=describe_environment().shaping,
        lock=candidate.files[ENVIRONMENT_FILE].sha256,
        threads=THREADS,
        seed=spec.model.seed,
        recipe=Recipe(
            estimators=candidate.estimators,
            trained_rows=candidate.trained_rows,
            half_life=candidate.half_life,
            holdout_rows=candidate.holdout_rows,
            head_rows=candidate.head_rows,
            shares={k: v for k, v in candidate.mixture.model_dump().items() if v > 0},
        ),
        parent=read_state(store(), spec.name).state.champion,
        reason=request.reason,
        cause=request.cause,
        run=request.run,
        estimator=candidate.estimator,
        depth=candidate.depth,
        base=candidate.base,
    )


def _write_pages(
    declaration: Declaration, manifest: Manifest, snapshot: SnapshotRef, gate: GateResult
) -> dict[str, FileEntry]:
    from perennial.report.card import as_html, as_markdown, build_card

    name, version, cause = manifest.pipeline, manifest.version, manifest.lineage.cause
    signature = store().get(layout.version_file(name, version, SIGNATURE_FILE)).data
    check = store().find(cause) if cause is not None else None
    card = build_card(
        manifest,
        declaration.spec,
        Signature.model_validate_json(signature),
        describe(snapshot),
        gate.decision,
        None if check is None else Check.model_validate_json(check.data),
    )
    pages = {CARD_FILE: as_markdown(card), PAGE_FILE: as_html(card)}
    return {
        file: write_file(store(), name, version, file, text.encode())
        for file, text in pages.items()
    }


def _answer(
    lease: Lease,
    candidate: CandidateRef,
    gate: GateResult,
    request: RetrainRequest,
    event: Literal["version.registered", "version.refused"],
    rollout: Rollout | None = None,
) -> None:
    """Write down what became of a candidate; with ``rollout`` it is challenger from here on."""

    def change(state: State) -> State:
        answered = max(filter(None, (state.answered, request.window)), default=None)
        new = state.model_copy(update={"answered": answered})
        return new if rollout is None else challenge(new, candidate.version, rollout)

    entry = new_entry(
        event,
        version=candidate.version,
        reason=gate.decision.reason if rollout is None else request.reason,
        by=request.run,
        cause=request.cause,
        details={
            "depth": candidate.depth,
            "estimator": candidate.estimator,
            "trained_rows": candidate.trained_rows,
            "started_at": request.started_at.isoformat(),
            "train_seconds": round(candidate.train_seconds, 3),
            "cpu_seconds": round(candidate.cpu_seconds, 3),
            "gate": gate.decision.reason,
            "leakage_allowed": [leak.column for leak in gate.decision.leaks if leak.allowed],
        },
    )
    change_state(store(), lease.pipeline, change, entry, fence=lease.token)
