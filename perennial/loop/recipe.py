"""Which rows train a candidate, which its small models, and which judge it."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from perennial.datasets.seen import rows_behind
from perennial.datasets.snapshot import Snapshots
from perennial.datasets.stream import window_rows
from perennial.errors import TrainingError
from perennial.evaluation.division import Division, Unseen, divide, head_span
from perennial.loop.versions import Champion
from perennial.registry.learned import learned_by, learned_by_base, learned_by_trial
from perennial.spec import BaseName, Depth, PipelineSpec

ALL_EVERY = 2
"""At every so many-th retrain the model of all rows is refitted, too: it changes less."""


@dataclass(frozen=True, eq=False)
class Learned:
    """The rows up to the last one that a champion has learned from."""

    base: pd.DataFrame
    """That the model knows with which its mixture began."""
    champion: pd.DataFrame
    """That any of its models knows."""
    trial: pd.DataFrame | None = None
    """That the trial of its first model knows; None: it was not kept."""

    @classmethod
    def of(cls, champion: Champion, snapshots: Snapshots) -> Learned:
        """Read them; errors as `perennial.registry.learned.learned_by_base`."""
        store, version = champion.store, champion.version
        return cls(
            base=learned_by_base(store, version, snapshots),
            champion=learned_by(store, version, snapshots),
            trial=learned_by_trial(store, version, snapshots),
        )


def divide_rows(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    depth: Depth,
    champion: Champion | None,
    learned: Learned | None,
    *,
    span: int | None = None,
    late: int = 0,
    asked_by_hand: bool = True,
) -> Division:
    """Divide labelled rows by what the champion has learned from.

    Args:
        frame: all labelled rows, in time order.
        champion: None: there is none yet.
        learned: of the champion.
        span: newest rows that are wished for to fit small models on; None: a few windows.
        late: windows by which labels come behind a window's end: so many more of them.
        asked_by_hand: who edits the declaration wants it tried on the rows that there are; a check
            that asks without newer rows has nothing new to learn, and waits.

    Raises:
        TrainingError: too few rows to fit small models on; nothing to learn from.
    """
    unseen, anew = None, False
    if champion is not None and learned is not None:
        anew = depth == "retrain" and begins_anew(frame, spec, champion)
        again = learned.trial if asked_by_hand else None
        unseen = Unseen(
            base=rows_behind(frame, learned.base),
            champion=rows_behind(frame, learned.champion),
            trial=None if again is None else rows_behind(frame, again),
        )
    window = window_rows(spec, frame)
    return divide(
        depth,
        len(frame),
        window,
        gates=spec.gates,
        unseen=unseen,
        anew=anew,
        span=head_span(window, late) if span is None else span,
    )


def begins_anew(frame: pd.DataFrame, spec: PipelineSpec, champion: Champion) -> bool:
    """Tell whether a retrain cannot go on with the champion's mixture: what is declared of the
    model or of the columns has changed, or there is a class that it does not know.

    Raises:
        TrainingError: there is nothing to learn from.
    """
    from perennial.training.train import signature_of

    return (
        champion.trained.signature != signature_of(frame, spec)
        or spec.model != champion.declared.model
        or spec.metric != champion.declared.metric
    )


def check_healable(champion: Champion | None, name: str, depth: Depth) -> None:
    """See that a pipeline has what a heal of this depth changes.

    Raises:
        TrainingError: it has no champion.
    """
    if depth != "retrain" and champion is None:
        raise TrainingError(
            f"{name} has no champion yet that could be corrected: a retrain makes the first one"
        )


def due_bases(frame: pd.DataFrame, spec: PipelineSpec, champion: Champion) -> dict[BaseName, int]:
    """Say which models a retrain refits, and on how many of the newest rows that may train.

    Args:
        frame: these rows.
    """
    due: dict[BaseName, int] = {"recent": min(champion.metrics.usual_rows, len(frame))}
    made = champion.bases.get("all", champion.base).lineage.recipe.bases
    known = made.get("all", made.get("first", 0))
    grown = len(frame) - known
    # The rows that judge are left out, so that it comes to less than a window short of the whole.
    wait = (ALL_EVERY * (1 + spec.policy.retrain_wait) - 1) * window_rows(spec, frame)
    if grown >= wait and len(frame) > due["recent"]:
        due["all"] = len(frame)
    return due


@dataclass(frozen=True, eq=False)
class RowSplit:
    """Labelled rows in time order, and what becomes of them."""

    frame: pd.DataFrame
    """All of them."""
    heads: int
    """Newest rows on which small models are fitted."""
    judged: int
    """Newest rows by which the trial is judged."""

    @property
    def before_judged(self) -> pd.DataFrame:
        """What the models of the trial learn from."""
        return self.frame.iloc[: len(self.frame) - self.judged]

    @property
    def to_heal(self) -> pd.DataFrame:
        """The newest, on which small models are fitted."""
        return self.frame.iloc[len(self.frame) - self.heads :]

    @property
    def to_try(self) -> pd.DataFrame:
        """Those of them that judge nothing."""
        return self.to_heal.iloc[: max(0, self.heads - self.judged)]

    @property
    def to_judge(self) -> pd.DataFrame:
        """Those that the trial is judged by."""
        return self.frame.iloc[len(self.frame) - self.judged :]
