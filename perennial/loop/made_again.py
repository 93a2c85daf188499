"""Make a candidate again from its lineage, and judge it again."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from perennial.datasets.snapshot import StoredSnapshots
from perennial.evaluation.decision import GateDecision
from perennial.evaluation.mixing import Mixture
from perennial.loop.candidate import make_candidate
from perennial.loop.gate import judge_candidate
from perennial.loop.recipe import Learned, divide_rows
from perennial.loop.versions import read_champion
from perennial.registry import Manifest, read_file, read_manifest
from perennial.registry.manifest import GATE_FILE, SPEC_FILE
from perennial.spec import PipelineSpec
from perennial.store import Store

_NO_LIMIT = timedelta(days=365)
_MEASURED = {"latency", "servability"}
"""Checks whose figures are of the machine and the moment."""


def recorded(store: Store, manifest: Manifest) -> dict[str, Any]:
    """What a version, or a refused candidate, says of how it was made and judged.

    Raises:
        ModelError: a file was altered, or is missing.
    """
    decision = _gate_of(store, manifest)
    return {
        "depth": manifest.lineage.depth,
        "estimator": manifest.lineage.estimator,
        "recipe": manifest.lineage.recipe.model_dump(mode="json"),
        "gate": _judged(decision),
        "model": manifest.version.rpartition("-")[2],
    }


def made_again(store: Store, manifest: Manifest) -> dict[str, Any]:
    """Decide the same anew: which rows, which span, which family, and whether the gate lets it
    pass.

    Raises:
        NotFound: the snapshot, or the champion of its time, is not in the store any more.
        StoreError: the snapshot was altered.
        TrainingError, ModelError: it cannot be made.
    """
    lineage, name = manifest.lineage, manifest.pipeline
    declared = PipelineSpec.model_validate_json(read_file(store, manifest, SPEC_FILE))
    # Families that the time budget left out then are left out now, and no other.
    changes: dict[str, Any] = {"time_budget": _NO_LIMIT}
    if lineage.recipe.estimators:
        changes["estimators"] = lineage.recipe.estimators
    spec = declared.model_copy(update={"model": declared.model.model_copy(update=changes)})
    snapshots = StoredSnapshots(store, name)
    frame = snapshots.rows(lineage.snapshot)
    champion = learned = None
    if lineage.parent is not None:
        champion = read_champion(store, read_manifest(store, name, lineage.parent))
        learned = Learned.of(champion, snapshots)
    # How many rows a person asked for is not on record: as many as small models were fitted on.
    division = divide_rows(
        frame,
        declared,
        lineage.depth,
        champion,
        learned,
        span=lineage.recipe.head_rows or None,
        asked_by_hand=lineage.cause is None,
    )
    shares = lineage.recipe.shares
    candidate = make_candidate(
        frame,
        spec,
        division,
        champion,
        depth=lineage.depth,
        mixture=Mixture(**shares) if shares else None,
    )
    # What served rows have shown is on record, and not what they were.
    later = tuple(leak for leak in _gate_of(store, manifest).leaks if leak.kind == "known_later")
    decision = judge_candidate(candidate, spec, champion, later=later).decision
    return {
        "depth": candidate.depth,
        "estimator": candidate.estimator,
        "recipe": candidate.recipe.model_dump(mode="json"),
        "gate": _judged(decision),
        "model": hashlib.sha256(candidate.model.graph).hexdigest()[:8],
    }


def _gate_of(store: Store, manifest: Manifest) -> GateDecision:
    return GateDecision.model_validate_json(read_file(store, manifest, GATE_FILE))


def _judged(decision: GateDecision) -> dict[str, Any]:
    checks = {
        check.name: check.model_dump(mode="json")
        for check in decision.checks
        if check.name not in _MEASURED
    }
    slices = [part.model_dump(mode="json") for part in decision.slices]
    return {"passed": decision.passed, "rows": decision.rows, "checks": checks, "slices": slices}
