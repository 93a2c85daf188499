"""Divide the rows of a snapshot, make a candidate of them, and let the gate judge it."""

from __future__ import annotations

import hashlib

from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.datasets.snapshot import Snapshot, StoredSnapshots
from perennial.evaluation.decision import GateDecision, Leak
from perennial.evaluation.division import Division
from perennial.loop import candidate as making
from perennial.loop import gate
from perennial.loop.candidate import Candidate
from perennial.loop.gate import Judgement
from perennial.loop.recipe import Learned, check_healable, divide_rows
from perennial.loop.request import RetrainRequest
from perennial.loop.versions import Champion, find_champion, read_champion
from perennial.registry import Declaration, read_manifest
from perennial.serving.trial import trial_server
from tasks.artifacts import publish, table
from tasks.connection import store
from tasks.step import step


class RowsDivided(BaseModel):
    """How the rows of a snapshot are divided, and against whom."""

    snapshot: Snapshot
    rows: Division
    champion: str | None
    """The version that the candidate is held against, whoever is champion by then: the rows were
    divided by what this one has learned from."""

    def rival(self) -> Champion | None:
        """That version; None for a first one."""
        if self.champion is None:
            return None
        return read_champion(store(), read_manifest(store(), self.snapshot.pipeline, self.champion))


@step(retries=2, retry_delay_seconds=2)
def divide_snapshot(
    declaration: Declaration, snapshot: Snapshot, request: RetrainRequest
) -> RowsDivided:
    """Divide the rows of a snapshot by what the champion has learned from.

    Raises:
        TrainingError: there is no champion, no head to take off, or too few rows to fit one on.
    """
    spec = declaration.spec
    champion = find_champion(store(), spec.name)
    check_healable(champion, spec.name, request.depth)
    snapshots = StoredSnapshots(store(), spec.name)
    learned = None if champion is None else Learned.of(champion, snapshots)
    frame = snapshots.rows(snapshot.sha256)
    rows = divide_rows(
        frame, spec, request.depth, learned, span=request.span, asked_by_hand=request.by_hand
    )
    name = None if champion is None else champion.name
    return RowsDivided(snapshot=snapshot, rows=rows, champion=name)


@step
def make_candidate(
    declaration: Declaration, divided: RowsDivided, request: RetrainRequest
) -> Candidate:
    """Train and package a candidate, or put a head on the champion's base.

    Raises:
        TrainingError: there is nothing to learn from.
    """
    spec, snapshot = declaration.spec, divided.snapshot
    candidate = making.make_candidate(
        StoredSnapshots(store(), spec.name).rows(snapshot.sha256),
        spec,
        divided.rows,
        divided.rival(),
        depth=request.depth,
        mixture=request.mixture(store()),
    )
    get_run_logger().info(
        "%s, %s on %s in %.1f s, parity within %.2g",
        candidate.depth,
        candidate.estimator,
        candidate.span,
        candidate.seconds,
        candidate.parity.max_abs,
    )
    key = "training" if candidate.stands_on is None else "heal"
    publish(key, spec.name, _markdown(candidate), description=_told(candidate))
    return candidate


@step(retries=1, retry_delay_seconds=2)
def judge_candidate(
    declaration: Declaration, divided: RowsDivided, candidate: Candidate, later: tuple[Leak, ...]
) -> Judgement:
    """Hold a candidate against the champion, and what would serve against what serving asks of it.

    A server of the candidate's own starts meanwhile, and has to answer some of the rows too.

    Args:
        later: features that served rows show to be filled in or changed later.
    """
    spec = declaration.spec
    judgement = gate.judge_candidate(
        candidate, spec, divided.rival(), later=later, serve=trial_server
    )
    publish("gate", spec.name, _in_words(judgement.decision), description=_told(candidate))
    return judgement


def _told(candidate: Candidate) -> str:
    """What it is told by until it is a version: depth, and the beginning of its graph's sha256."""
    return f"{candidate.depth} {hashlib.sha256(candidate.model.graph).hexdigest()[:8]}"


def _markdown(candidate: Candidate) -> str:
    recipe, parity = candidate.recipe, candidate.parity
    shares = ", ".join(f"{name} {share:.0%}" for name, share in recipe.shares.items())
    rows = [
        ("depth", candidate.depth),
        ("family", candidate.estimator),
        ("stands on", candidate.stands_on or "a base of its own"),
        ("learned from", str(candidate.span)),
        ("heads in its answers", shares or "none"),
        ("the gate's trial learned from", f"{recipe.trial_rows:,} rows"),
        ("judged by", f"the newest {recipe.judged_rows:,} rows"),
        ("answers as its source", f"on {parity.rows:,} rows, to within {parity.max_abs:.2g}"),
        ("seconds", f"{candidate.seconds:.2f}"),
        ("CPU seconds", f"{candidate.cpu_seconds:.2f}"),
    ]
    told = table(["what", "figure"], rows)
    if not candidate.scores:
        return told
    families = [
        (s.estimator, "" if s.value is None else s.value, f"{s.seconds:.1f}", s.skipped or "")
        for s in candidate.scores
    ]
    return f"{told}\n\n{table(['estimator', 'validation', 'seconds', 'left out'], families)}"


def _in_words(decision: GateDecision) -> str:
    from perennial.report.gate import HEADER, check_rows, lead

    return "\n\n".join([*lead(decision), table(HEADER, check_rows(decision))])
