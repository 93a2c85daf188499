"""Make a version of a candidate that passed, and write down one that did not."""

from __future__ import annotations

from functools import partial

from prefect.logging import get_run_logger

from perennial.datasets.snapshot import Snapshot
from perennial.drift.record import Check
from perennial.evaluation.decision import GateDecision
from perennial.loop import registration
from perennial.loop.candidate import Candidate
from perennial.loop.gate import Judgement
from perennial.loop.registration import Provenance
from perennial.loop.request import RetrainRequest
from perennial.packaging.signature import Signature
from perennial.registry import Declaration, Manifest
from perennial.registry.manifest import CARD_FILE, GATE_FILE, PAGE_FILE
from perennial.store import Lease, layout
from tasks import events
from tasks.artifacts import link, publish
from tasks.connection import store
from tasks.sound import SoundRows
from tasks.step import step


@step(retries=2, retry_delay_seconds=2)
def is_answered(pipeline: str, request: RetrainRequest) -> bool:
    """Tell whether an earlier retrain has answered the check that asks: its event came twice."""
    return registration.is_answered(store(), pipeline, request)


@step
def register_candidate(
    lease: Lease,
    sound: SoundRows,
    candidate: Candidate,
    judgement: Judgement,
    request: RetrainRequest,
) -> Manifest:
    """Write the version, name it challenger, and tell the rollout.

    Raises:
        LeaseLost: another run may change this pipeline by now; nothing was registered.
    """
    manifest = registration.register_candidate(
        store(),
        lease,
        Provenance(sound.declaration, sound.snapshot.sha256, request),
        candidate,
        judgement,
        pages=_pages(sound, candidate, judgement),
    )
    get_run_logger().info("registered %s", manifest.version)
    _publish(manifest)
    told = {"depth": request.depth, "reason": request.reason, "verdict": request.cause}
    events.emit(events.VERSION_REGISTERED, manifest.pipeline, {"version": manifest.version, **told})
    return manifest


@step
def refuse_candidate(
    lease: Lease,
    sound: SoundRows,
    candidate: Candidate,
    judgement: Judgement,
    request: RetrainRequest,
) -> None:
    """Write down that a candidate failed its gate.

    Raises:
        LeaseLost: another run may change this pipeline by now.
    """
    registration.refuse_candidate(
        store(),
        lease,
        Provenance(sound.declaration, sound.snapshot.sha256, request),
        candidate,
        judgement,
        pages=_pages(sound, candidate, judgement),
    )


@step
def refuse_untried(lease: Lease, reason: str, request: RetrainRequest) -> None:
    """Write down that there was no candidate to judge.

    Raises:
        LeaseLost: another run may change this pipeline by now.
    """
    registration.refuse_untried(store(), lease, request, reason)


def _pages(sound: SoundRows, candidate: Candidate, judgement: Judgement) -> registration.Pages:
    return partial(
        _page,
        sound.declaration,
        sound.snapshot,
        candidate.model.signature,
        judgement.decision,
    )


def _page(
    declaration: Declaration,
    snapshot: Snapshot,
    signature: Signature,
    decision: GateDecision,
    manifest: Manifest,
) -> dict[str, bytes]:
    from perennial.report.card import as_html, as_markdown, build_card

    cause = manifest.lineage.cause
    found = store().find(cause) if cause is not None else None
    check = None if found is None else Check.model_validate_json(found.data)
    card = build_card(manifest, declaration.spec, signature, snapshot, decision, check)
    return {CARD_FILE: as_markdown(card).encode(), PAGE_FILE: as_html(card).encode()}


def _publish(manifest: Manifest) -> None:
    """Show the version's page, with links to what lies beside it."""
    name, version = manifest.pipeline, manifest.version
    key = partial(layout.version_file, name, version)
    card = store().get(key(CARD_FILE)).data.decode()
    links = f"{link(key(PAGE_FILE), 'The page')}, {link(key(GATE_FILE), 'its gate')}."
    publish("version", name, f"{links}\n\n{card}", description=version)
