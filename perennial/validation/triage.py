"""Is it the world or the pipe?

A window whose data are broken is held: the champion goes on, nobody trains on it, and its loss and
inputs are no evidence of drift. A window that merely differs is not.

What is usual is learned from the stream's own past, window by window; a window found sound joins it
(`Triage.after`), one that is held does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from perennial.spec import PipelineSpec
from perennial.validation.cause import Cause, CauseKind, TriageVerdict
from perennial.validation.label_symptoms import Signals, flipped, late, measure
from perennial.validation.past import Reader, Slice, cut_reference
from perennial.validation.relations import Relation, contradicted, learn_relations
from perennial.validation.row_symptoms import (
    Rhythm,
    duplicated,
    exchanged,
    learn_rhythms,
    missing_columns,
    skewed,
    truncated,
    usual_repeats,
)
from perennial.validation.symptoms import (
    Columns,
    frozen,
    recoded,
    rescaled,
    retyped,
    swapped,
    usual_runs,
)

__all__ = ["Cause", "CauseKind", "Memory", "Triage", "TriageVerdict"]

KEPT = 30
"""Windows that are remembered."""
_FEWEST = 4
"""Windows of past without which nothing is said."""
_MODEL_WINDOWS = 4


class Memory(BaseModel):
    """What was measured of the past, for the next look: to measure it again takes seconds."""

    model_config = ConfigDict(frozen=True)

    signals: tuple[Signals, ...] = ()
    """In the labels of the newest windows."""
    missing: tuple[float, ...] = ()
    """Share of the labels that never came, by window."""


@dataclass(frozen=True)
class Triage:
    """A stream's past, and what a new window is held against."""

    spec: PipelineSpec
    reader: Reader
    past: tuple[Slice, ...]
    known: tuple[pd.DataFrame, ...] = ()
    """The newest labelled windows, by which the next one's labels are judged."""
    signals: tuple[Signals, ...] = ()
    missing: tuple[float, ...] = ()
    """Share of the labels that never came, by window."""
    follows: bool = True
    """Whether the next window comes right behind the last one of the past."""

    @classmethod
    def fit(
        cls,
        reference: pd.DataFrame,
        spec: PipelineSpec,
        window_rows: int,
        memory: Memory | None = None,
    ) -> Triage:
        """Learn what is usual.

        Args:
            reference: rows right before the windows to come, in time order, with the target (where
                it is known) and the time.
            window_rows: rows of a window, where it is not declared as a time.
            memory: of a triage that knew all windows before the next one, those too with which this
                one goes on by `again`.
        """
        reader = Reader.of(reference, spec)
        windows = cut_reference(reference, spec, window_rows)[-KEPT:]
        triage = cls(spec, reader, ())
        if memory is not None:
            triage = replace(triage, signals=memory.signals, missing=memory.missing)
        for window in windows:
            triage = triage.after(window) if memory is None else triage.again(window)
        return triage

    @property
    def memory(self) -> Memory:
        """What was measured."""
        return Memory(signals=self.signals, missing=self.missing)

    def after(self, window: pd.DataFrame, labels: pd.Series | None = None) -> Triage:
        """The same with a window that was found sound; ``labels`` where the frame has no target."""
        joined = self._joined(window)
        if labels is None and self.spec.target in window.columns:
            labels = window[self.spec.target]
        return joined if labels is None else joined.labelled(window, labels)

    def again(self, window: pd.DataFrame, labels: pd.Series | None = None) -> Triage:
        """As `after`, for a window whose labels were measured before."""
        joined = self._joined(window)
        if labels is None and self.spec.target in window.columns:
            labels = window[self.spec.target]
        return joined if labels is None else joined._knowing(window, labels)

    def _joined(self, window: pd.DataFrame) -> Triage:
        past = (*self.past, self.reader.read(window))[-KEPT:]
        return replace(self, past=past, follows=True)

    def _knowing(self, window: pd.DataFrame, labels: pd.Series) -> Triage:
        values: Any = labels.to_numpy()
        frame = window.assign(**{self.spec.target: values})
        return replace(self, known=(*self.known, frame)[-_MODEL_WINDOWS:])

    def without(self) -> Triage:
        """The same with a gap where a window was that is held."""
        return replace(self, follows=False)

    def labelled(self, window: pd.DataFrame, labels: pd.Series) -> Triage:
        """The same with the labels of a window, which were found sound."""
        found = self._signals(window, labels)
        return replace(
            self._knowing(window, labels),
            missing=(*self.missing, float(labels.isna().mean()))[-KEPT:],
            signals=self.signals if found is None else (*self.signals, found)[-KEPT:],
        )

    def check(
        self, window: str, frame: pd.DataFrame, labels: pd.Series | None = None
    ) -> TriageVerdict:
        """Say whether a window is to be held.

        Args:
            window: its name.
            frame: its rows.
            labels: their labels once they are due, None or NaN where absent; None: not due yet.
        """
        causes = [*self._of_features(frame)]
        if labels is not None:
            causes += self.check_labels(window, frame, labels).causes
        return TriageVerdict(window=window, held=bool(causes), causes=_once(causes))

    def check_labels(self, window: str, frame: pd.DataFrame, labels: pd.Series) -> TriageVerdict:
        """Say whether a window is to be held for its labels, now that they are due."""
        if len(self.past) < _FEWEST:
            return TriageVerdict(window=window, held=False)
        causes = [*late(self.missing, self.reader.target(labels))]
        if not causes:
            causes += flipped(
                self.signals,
                self._signals(frame, labels),
                is_value=self.spec.task == "regression",
            )
        return TriageVerdict(window=window, held=bool(causes), causes=tuple(causes))

    def _of_features(self, frame: pd.DataFrame) -> Iterator[Cause]:
        if len(self.past) < _FEWEST:
            return
        now = self.reader.read(frame)
        yield from missing_columns(self.past, now)
        yield from retyped(now, self.reader.text)
        yield from truncated(self.past, now)
        if len(now) < 2:
            return
        yield from skewed(self.past, self._rhythms, now, follows=self.follows)
        stuck = tuple(frozen(self._runs, now))
        yield from stuck
        if not stuck:  # Rows may well be alike for a column that does not move.
            yield from duplicated(self.past, self._repeats, now)
        yield from swapped(self._columns, now)
        if now.times is not None:
            yield from exchanged(self._rhythms, now)
        yield from rescaled(self._columns, now, self.reader.text)
        yield from recoded(self._columns, now, self.reader.text)
        yield from contradicted(self._relations, now)

    @cached_property
    def _repeats(self) -> float:
        return usual_repeats(self.past)

    @cached_property
    def _rhythms(self) -> list[Rhythm]:
        return learn_rhythms(self.past)

    @cached_property
    def _runs(self) -> dict[str, int]:
        return usual_runs(self.past)

    @cached_property
    def _columns(self) -> Columns:
        return Columns(self.past)

    @cached_property
    def _relations(self) -> list[Relation]:
        return learn_relations(self.past)

    def _signals(self, frame: pd.DataFrame, labels: pd.Series) -> Signals | None:
        if not self.known:
            return None
        return measure(frame, labels, pd.concat(self.known, ignore_index=True), self.spec)


def _once(causes: list[Cause]) -> tuple[Cause, ...]:
    """One cause a column, the first: it names best; a broken relation is what is left."""
    told: set[str] = set()
    kept = []
    for cause in causes:
        if cause.columns and set(cause.columns) <= told:
            continue
        told |= set(cause.columns)
        kept.append(cause)
    return tuple(kept)
