"""Say which rows train a candidate, which its heads are tried on, and which judge it."""

from __future__ import annotations

from pydantic import BaseModel

from perennial.datasets.seen import rows_behind
from perennial.datasets.stream import window_rows
from perennial.errors import TrainingError
from perennial.evaluation.division import Division, Unseen, divide
from perennial.loop.versions import find_champion
from perennial.registry import Declaration, Manifest, read_manifest
from perennial.registry.learned import learned_by, learned_by_base, recipe_of
from tasks.connection import store
from tasks.request import RetrainRequest
from tasks.snapshot import SnapshotRef, rows_of
from tasks.step import step


class RowsDivided(BaseModel):
    """How the rows of a snapshot are divided, and against whom."""

    pipeline: str
    rows: Division
    champion: str | None
    """The version that the candidate is held against, whoever is champion by then: the rows were
    divided by what this one has learned from."""

    def rival(self) -> Manifest | None:
        """The manifest of that version; None for a first version."""
        return (
            None if self.champion is None else read_manifest(store(), self.pipeline, self.champion)
        )


@step(retries=2, retry_delay_seconds=2)
def divide_rows(declaration: Declaration, ref: SnapshotRef, request: RetrainRequest) -> RowsDivided:
    """Divide the rows of a snapshot by what the champion has learned from.

    Raises:
        TrainingError: there is no champion, no head to take off, or too few rows to fit one on.
    """
    spec = declaration.spec
    found = find_champion(store(), spec.name)
    champion = None if found is None else found.version
    if request.depth != "retrain":
        _check_healable(champion, spec.name, request)
    frame = rows_of(ref)
    unseen = None
    if champion is not None:
        unseen = Unseen(
            base=rows_behind(frame, learned_by_base(store(), champion)),
            champion=rows_behind(frame, learned_by(store(), champion)),
        )
    rows = divide(
        request.depth,
        len(frame),
        window_rows(spec, frame),
        gates=spec.gates,
        unseen=unseen,
        span=request.span,
    )
    version = None if champion is None else champion.version
    return RowsDivided(pipeline=spec.name, rows=rows, champion=version)


def _check_healable(champion: Manifest | None, name: str, request: RetrainRequest) -> None:
    if champion is None:
        raise TrainingError(
            f"{name} has no champion yet that could be corrected: a retrain makes the first one"
        )
    if request.depth == "unhead" and not recipe_of(champion).shares:
        raise TrainingError(
            f"{champion.version}, champion of {name}, has no correction to take off"
        )
