"""Divide the rows of a snapshot, make a candidate of them, and let the gate judge it."""

from __future__ import annotations

import hashlib

from prefect.logging import get_run_logger
from pydantic import BaseModel

from perennial.datasets.snapshot import Snapshot, StoredSnapshots
from perennial.drift.reasons import parts_of
from perennial.evaluation.decision import GateDecision, Leak
from perennial.evaluation.division import Division
from perennial.evaluation.mixing import Mixture
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
        TrainingError: there is no champion, or there are too few rows to learn from.
    """
    spec = declaration.spec
    champion = find_champion(store(), spec.name)
    check_healable(champion, spec.name, request.depth)
    snapshots = StoredSnapshots(store(), spec.name)
    learned = None if champion is None else Learned.of(champion, snapshots)
    frame = snapshots.rows(snapshot.sha256)
    asked = request.decision(store(), spec.name)
    rows = divide_rows(
        frame,
        spec,
        request.depth,
        champion,
        learned,
        span=request.span,
        late=0 if asked is None else asked.late,
        asked_by_hand=request.by_hand,
    )
    name = None if champion is None else champion.name
    return RowsDivided(snapshot=snapshot, rows=rows, champion=name)


@step
def make_candidate(
    declaration: Declaration, divided: RowsDivided, request: RetrainRequest
) -> Candidate:
    """Make and package a candidate: of the champion's mixture, or one that begins another.

    Raises:
        TrainingError: there is nothing to learn from.
    """
    spec, snapshot = declaration.spec, divided.snapshot
    asked = request.decision(store(), spec.name)
    candidate = making.make_candidate(
        StoredSnapshots(store(), spec.name).rows(snapshot.sha256),
        spec,
        divided.rows,
        divided.rival(),
        depth=request.depth,
        mixture=None if asked is None else asked.mixture,
    )
    get_run_logger().info(
        "%s, %s on %s rows in %.1f s, parity within %.2g",
        candidate.depth,
        candidate.estimator,
        candidate.recipe.trained_rows,
        candidate.seconds,
        candidate.parity.max_abs,
    )
    key = "training" if candidate.anew else "heal"
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
    shares = parts_of(Mixture(**recipe.shares)) if recipe.shares else ""
    made = ", ".join(f"{name} {version}" for name, version in candidate.bases.items())
    fresh = ", ".join(f"{name} on {count:,} rows" for name, count in recipe.bases.items())
    rows = [
        ("depth", candidate.depth),
        ("family", candidate.estimator),
        ("trained for it", fresh or "nothing"),
        ("taken over", made or "nothing"),
        ("small models", f"of {recipe.head_rows:,} rows" if recipe.head_rows else "none"),
        ("answers", shares or "by one model"),
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
