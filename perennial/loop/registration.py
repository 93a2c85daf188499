"""From a judged candidate to a version, or to what is kept of one that was refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pandas as pd
from pydantic import BaseModel

from perennial import __version__
from perennial.errors import RegistryError
from perennial.loop.candidate import Candidate
from perennial.loop.gate import Judgement
from perennial.loop.request import RetrainRequest
from perennial.loop.versions import with_answers
from perennial.registry import (
    Declaration,
    FileEntry,
    HistoryEntry,
    Lineage,
    Manifest,
    RefusedCandidate,
    State,
    append_history,
    change_state,
    code_revision,
    describe_environment,
    is_outcome,
    new_entry,
    next_version,
    read_state,
    refuse,
    register,
    write_file,
)
from perennial.registry.environment import THREADS, source_sha256
from perennial.registry.history import behind
from perennial.registry.manifest import (
    BASE_FILES,
    ENVIRONMENT_FILE,
    GATE_FILE,
    JUDGED_FILE,
    METRICS_FILE,
    MODEL_FILE,
    REFERENCE_FILE,
    SIGNATURE_FILE,
    SPEC_FILE,
    TRIAL_FILE,
    TRIAL_SIGNATURE_FILE,
)
from perennial.rollout.stages import challenge
from perennial.store import Lease, Store
from perennial.store.lease import utc_now

Pages = Callable[[Manifest], Mapping[str, bytes]]
"""What people read of a version, by the names of the files."""


@dataclass(frozen=True)
class Provenance:
    """What a candidate was made by."""

    declaration: Declaration
    snapshot: str
    """sha256 of the rows."""
    request: RetrainRequest


def is_answered(store: Store, pipeline: str, request: RetrainRequest) -> bool:
    """Tell whether an earlier retrain has answered the check that asks: its event came twice."""
    answered = read_state(store, pipeline).state.answered
    return request.window is not None and answered is not None and request.window <= answered


def register_candidate(
    store: Store,
    lease: Lease,
    provenance: Provenance,
    candidate: Candidate,
    judgement: Judgement,
    *,
    pages: Pages | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Manifest:
    """Write a candidate's files and its manifest, and name the version challenger.

    Raises:
        LeaseLost: another run may change this pipeline by now; nothing was registered.
        RegistryError: another champion answers by now than the one that it was held against.
    """
    spec, request = provenance.declaration.spec, provenance.request
    _check_rival(read_state(store, spec.name).state, candidate, spec.name)
    manifest = _write(store, lease, provenance, candidate, judgement, pages, clock())
    register(store, lease, manifest)
    entry = _entry("version.registered", manifest.version, candidate, judgement, request, clock())

    def takes_over(state: State) -> State:
        _check_rival(state, candidate, spec.name)
        return challenge(state, manifest.version, spec.rollout)

    _answer(store, lease, request, entry, takes_over, clock)
    return manifest


def _check_rival(state: State, candidate: Candidate, pipeline: str) -> None:
    """See that the champion is still the one that a candidate was held against."""
    if state.champion != candidate.against:
        raise RegistryError(
            f"the candidate for {pipeline} was held against {candidate.against}, and "
            f"{state.champion} answers by now: ask again"
        )


def refuse_candidate(
    store: Store,
    lease: Lease,
    provenance: Provenance,
    candidate: Candidate,
    judgement: Judgement,
    *,
    pages: Pages | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> RefusedCandidate:
    """Write down that a candidate failed its gate: the shift that asked for it is answered.

    It is kept, with its reasons, for as long as ``gates.keep_refused`` says.

    Raises:
        LeaseLost: another run may change this pipeline by now.
    """
    request = provenance.request
    manifest = _write(store, lease, provenance, candidate, judgement, pages, clock())
    kept = RefusedCandidate(
        **dict(manifest),
        reason=judgement.decision.reason,
        keep_until=manifest.created_at + provenance.declaration.spec.gates.keep_refused,
    )
    refuse(store, lease, kept)
    entry = _entry("version.refused", manifest.version, candidate, judgement, request, clock())
    _answer(store, lease, request, entry, lambda state: state, clock)
    return kept


def refuse_untried(
    store: Store,
    lease: Lease,
    request: RetrainRequest,
    reason: str,
    *,
    clock: Callable[[], datetime] = utc_now,
) -> None:
    """Write down that there was no candidate to judge: no rows could judge one, or it came out as
    what the champion is.

    The window that asked is answered: later ones ask anew, with more labels. It says nothing of
    what a retrain is worth, so no wait grows by it.

    Raises:
        LeaseLost: another run may change this pipeline by now.
    """
    entry = new_entry(
        "version.refused",
        reason=reason,
        by=request.run,
        cause=request.cause,
        details={"depth": request.depth, "untried": True},
        at=clock(),
    )
    lease.renew()
    _answer(store, lease, request, entry, lambda state: state, clock)


def _write(
    store: Store,
    lease: Lease,
    provenance: Provenance,
    candidate: Candidate,
    judgement: Judgement,
    pages: Pages | None,
    now: datetime,
) -> Manifest:
    """Write a candidate's files, its pages too, and give its manifest, which is not written yet."""
    spec = provenance.declaration.spec
    version = next_version(store, spec.name, candidate.model.graph)

    def write(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
        return {
            name: write_file(store, spec.name, version, name, data) for name, data in files.items()
        }

    files = write(_files(provenance, candidate, judgement))
    manifest = Manifest(
        pipeline=spec.name,
        version=version,
        task=spec.task,
        created_at=now,
        fence=lease.token,
        files=files,
        lineage=_lineage(provenance, candidate, files[ENVIRONMENT_FILE].sha256),
        runtime=judgement.runtime,
        metrics=judgement.metrics.model_dump(mode="json"),
    )
    if pages is None:
        return manifest
    return manifest.model_copy(update={"files": {**files, **write(pages(manifest))}})


def _files(provenance: Provenance, candidate: Candidate, judgement: Judgement) -> dict[str, bytes]:
    model = candidate.model
    files = {
        MODEL_FILE: model.graph,
        SIGNATURE_FILE: _json(model.signature),
        REFERENCE_FILE: _parquet(candidate.reference),
        SPEC_FILE: _json(provenance.declaration.spec),
        ENVIRONMENT_FILE: _json(describe_environment()),
        GATE_FILE: _json(judgement.decision),
        JUDGED_FILE: _parquet(with_answers(judgement.answered)),
        METRICS_FILE: _json(judgement.metrics),
    }
    if candidate.source is not None:
        name, data = candidate.source
        files[name] = data
    files |= {BASE_FILES[name]: base.graph for name, base in candidate.refitted.items()}
    if candidate.kept is not None:
        files[TRIAL_FILE] = candidate.kept.graph
        files[TRIAL_SIGNATURE_FILE] = _json(candidate.kept.signature)
    return files


def _lineage(provenance: Provenance, candidate: Candidate, lock: str) -> Lineage:
    declaration, request = provenance.declaration, provenance.request
    return Lineage(
        snapshot=provenance.snapshot,
        spec=declaration.sha256,
        code=__version__,
        sources=source_sha256(),
        revision=code_revision(),
        environment=describe_environment().shaping,
        lock=lock,
        threads=THREADS,
        seed=declaration.spec.model.seed,
        recipe=candidate.recipe,
        parent=candidate.against,
        reason=request.reason,
        cause=request.cause,
        run=request.run,
        estimator=candidate.estimator,
        depth=candidate.depth,
        bases=candidate.bases,
    )


def _entry(
    event: Literal["version.registered", "version.refused"],
    version: str,
    candidate: Candidate,
    judgement: Judgement,
    request: RetrainRequest,
    now: datetime,
) -> HistoryEntry:
    """Tell what became of a candidate."""
    decision = judgement.decision
    details = {
        "depth": candidate.depth,
        "estimator": candidate.estimator,
        "trained_rows": candidate.recipe.trained_rows,
        "started_at": request.started_at.isoformat(),
        "train_seconds": round(candidate.seconds, 3),
        "cpu_seconds": round(candidate.cpu_seconds, 3),
        "gate": decision.reason,
        "leakage_allowed": [leak.column for leak in decision.leaks if leak.allowed],
    }
    if decision.untried:
        details["untried"] = True
    return new_entry(
        event,
        version=version,
        reason=request.reason if event == "version.registered" else decision.reason,
        by=request.run,
        cause=request.cause,
        details=details,
        at=now,
    )


def _answer(
    store: Store,
    lease: Lease,
    request: RetrainRequest,
    entry: HistoryEntry,
    takes_over: Callable[[State], State],
    clock: Callable[[], datetime],
) -> None:
    """Write down an outcome, and that the window which asked for it is answered.

    Where a person asked and nobody takes over, the state stays as it was; the history has it all
    the same.
    """

    def change(state: State) -> State:
        answered = max(filter(None, (state.answered, request.window)), default=None)
        return takes_over(state.model_copy(update={"answered": answered}))

    after = change_state(store, lease.pipeline, change, entry, fence=lease.token, clock=clock)
    if not is_outcome(after, entry):
        append_history(store, lease.pipeline, behind(entry, after.last_change))


def _json(model: BaseModel) -> bytes:
    return (model.model_dump_json(indent=2) + "\n").encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
