"""Which rows train a candidate, which try its heads, and which judge it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pandas as pd

from perennial.datasets.seen import rows_behind
from perennial.datasets.snapshot import Snapshots
from perennial.datasets.stream import window_rows
from perennial.errors import TrainingError
from perennial.evaluation.division import Division, Unseen, divide
from perennial.evaluation.span import SpanChoice, TrainingSpan, choose_span, rows_since_rise
from perennial.loop.versions import Champion
from perennial.registry import Recipe
from perennial.registry.learned import learned_by, learned_by_base, learned_by_trial
from perennial.spec import Cure, PipelineSpec

_SHARE = 0.5
"""Of the time budget of a training, which may go by before no other span is tried."""


@dataclass(frozen=True, eq=False)
class Learned:
    """The rows up to the last one that a champion has learned from."""

    base: pd.DataFrame
    """That its base knows."""
    champion: pd.DataFrame
    """That its base or its head knows."""
    trial: pd.DataFrame | None = None
    """That the trial of its base knows; None: it was not kept."""

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
    depth: Cure,
    learned: Learned | None,
    *,
    span: int | None = None,
    asked_by_hand: bool = True,
) -> Division:
    """Divide labelled rows by what the champion has learned from.

    Args:
        frame: all labelled rows, in time order.
        learned: None: there is no champion yet.
        span: newest rows that are wished for to fit a head on; None: a few windows.
        asked_by_hand: who edits the declaration wants it tried on the rows that there are; a check
            that asks without newer rows has nothing new to learn, and waits.

    Raises:
        TrainingError: too few rows to fit a head on.
    """
    unseen = None
    if learned is not None:
        again = learned.trial if asked_by_hand else None
        unseen = Unseen(
            base=rows_behind(frame, learned.base),
            champion=rows_behind(frame, learned.champion),
            trial=None if again is None else rows_behind(frame, again),
        )
    window = window_rows(spec, frame)
    return divide(depth, len(frame), window, gates=spec.gates, unseen=unseen, span=span)


def check_healable(champion: Champion | None, name: str, depth: Cure) -> None:
    """See that a pipeline has what a heal of this depth changes.

    Raises:
        TrainingError: it has no champion, or no head that could come off.
    """
    if depth == "retrain":
        return
    if champion is None:
        raise TrainingError(
            f"{name} has no champion yet that could be corrected: a retrain makes the first one"
        )
    if depth == "unhead" and not champion.version.lineage.recipe.shares:
        raise TrainingError(f"{champion.name}, champion of {name}, has no correction to take off")


@dataclass(frozen=True, eq=False)
class RowSplit:
    """Labelled rows in time order, and what becomes of them."""

    frame: pd.DataFrame
    """All of them."""
    first: int
    """Number of the first that counts."""
    held: int
    """Newest rows that the trial's base, if a new one is made, does not learn from."""
    judged: int
    """Newest rows by which the trial is judged."""

    @classmethod
    def of(cls, frame: pd.DataFrame, recipe: Recipe) -> RowSplit:
        """Divide the rows of a snapshot as for what was made of them."""
        first = len(frame) - recipe.head_rows - recipe.trained_rows
        return cls(frame, first, recipe.head_rows or recipe.judged_rows, recipe.judged_rows)

    @property
    def all(self) -> pd.DataFrame:
        """All that count."""
        return self.frame.iloc[self.first :]

    @property
    def before_held(self) -> pd.DataFrame:
        """What the base of the trial learns from."""
        return self.frame.iloc[self.first : len(self.frame) - self.held]

    @property
    def held_rows(self) -> pd.DataFrame:
        """Those behind."""
        return self.frame.iloc[len(self.frame) - self.held :]

    @property
    def before_judged(self) -> pd.DataFrame:
        """Those right before the judged ones, as many as teach the trial's base, or else a head."""
        end, count = len(self.frame) - self.judged, len(self.before_held) or self.held
        return self.frame.iloc[max(0, end - count) : end]

    @property
    def to_try(self) -> pd.DataFrame:
        """Those held that teach the trial's heads."""
        return self.frame.iloc[len(self.frame) - self.held : len(self.frame) - self.judged]

    @property
    def to_judge(self) -> pd.DataFrame:
        """Those that the trial is judged by."""
        return self.frame.iloc[len(self.frame) - self.judged :]


def choose_rows(
    frame: pd.DataFrame, spec: PipelineSpec, division: Division, champion: Champion | None
) -> SpanChoice:
    """Say which of the rows before those held teach a new base best, as quick models show; see
    `choose_span`. Where no heads are tried there are too few rows to choose by: all are taken.

    Args:
        frame: all labelled rows, in time order.
        champion: whose base tells since when its loss has risen.

    Raises:
        TrainingError: there is nothing to learn from.
        ModelError: the champion's base cannot be loaded or run.
    """
    from perennial.training.heads.spans import Spans
    from perennial.training.train import training_set

    rows, end = len(frame), len(frame) - division.held
    if champion is None or not division.heads:
        return SpanChoice(TrainingSpan(end), {})
    started = time.monotonic()
    limit = _SHARE * spec.model.time_budget.total_seconds()
    data = training_set(frame, spec)
    spans = Spans(
        data.take(slice(None, end)),
        data.take(slice(end, rows - division.judged)),
        data.take(slice(rows - division.judged, None)),
        seed=spec.model.seed,
    )
    return choose_span(
        end,
        spans.losses,
        usual=champion.metrics.usual_rows,
        risen=_rows_since_rise(frame.iloc[rows - division.unseen : end], spec, champion),
        in_time=lambda: time.monotonic() - started < limit,
    )


def _rows_since_rise(unseen: pd.DataFrame, spec: PipelineSpec, champion: Champion) -> int | None:
    """For how many of the newest rows the base of the champion has been worse than before, among
    those that it has not seen."""
    from perennial.training.heads.heal import base_losses

    return rows_since_rise(base_losses(unseen, spec, champion.trained)) if len(unseen) else None
