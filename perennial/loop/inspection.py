"""Is it the world or the pipe? Asked of every window before it counts as evidence."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.datasets.dates import dates_of, in_words
from perennial.datasets.labels import Told, typed_labels
from perennial.datasets.served import FAULT, add_faults, unusable
from perennial.datasets.stream import Window
from perennial.datasets.windows import strays
from perennial.loop.places import Stretch
from perennial.loop.ports import Stream
from perennial.packaging.labels import Fault, LabelRule
from perennial.spec import PipelineSpec, TimeFormat
from perennial.store import layout
from perennial.validation import Evaluation
from perennial.validation.quarantine import ROW, Quarantine, row_ids
from perennial.validation.rules import Rule, read_rules
from perennial.validation.triage import KEPT, Cause, Memory, Triage, TriageVerdict

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Expectations:
    """The expectations in force."""

    suite: dict[str, Any] | None = None
    """None: there are none yet."""
    fault: str | None = None
    """Why a person's expectations.json does not count, where it cannot be used."""


@dataclass(frozen=True)
class Inspection:
    """What was found of a window."""

    verdict: TriageVerdict
    sound: Window
    """The rows that no rule refuses."""
    refused: int


class Inspector:
    """Holds windows against the stream's own past, and keeps quarantine up to date."""

    def __init__(
        self,
        spec: PipelineSpec,
        stream: Stream,
        quarantine: Quarantine,
        suite: dict[str, Any] | None,
        *,
        past: Sequence[Stretch],
        memory: Memory | None,
        first: Window,
        rule: LabelRule,
        times: TimeFormat | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._spec = spec
        self._rule = rule
        self._stream = stream
        self._times = times
        self._clock = clock
        self._quarantine = quarantine
        self._released = quarantine.exempt()
        self._suite = _without_target(suite, spec)
        self._triage = self._remember(past, first, memory)

    @property
    def memory(self) -> Memory:
        """What was measured of the windows so far, for the next look."""
        return self._triage.memory

    def inspect(self, name: str, window: Window) -> Inspection:
        """Say whether a window is held; rows that cannot be used, and such that the rules refuse,
        go to quarantine."""
        window = replace(window, frame=self._with_strays(window.frame))
        bad = unusable(window.frame)
        self._put_unusable(name, window, bad)
        frame = window.frame[~bad]
        if frame.empty:
            verdict = _nothing_usable(name, window.frame)
            self._hold(Stretch(name, window.start, window.end), verdict, len(window.frame))
            self._triage = self._triage.without()
            return Inspection(verdict, window, len(window.frame))
        verdict = self._triage.check(name, frame)
        causes, refusals = list(verdict.causes), np.full(len(frame), -1, dtype=np.int16)
        rules: tuple[Rule, ...] = ()
        if self._suite is not None:
            evaluation = Evaluation(
                self._suite,
                share=self._spec.validation.quarantine_share,
                exempt=lambda rows: np.isin(self._ids(window, rows), list(self._released)),
            )
            refusals, rules = evaluation.add(frame), evaluation.rules
            report = evaluation.report(lambda names: frame if names is None else frame[names])
            causes += [
                Cause(kind="rules_broken", columns=_columns(f.column), detail=str(f))
                for f in report.held
            ]
        now, dates = self._clock(), dates_of(frame, self._spec.time, self._times)
        if causes:
            held = TriageVerdict(window=name, held=True, causes=tuple(causes), dates=dates)
            self._quarantine.hold(name, causes, window.start, window.end, len(frame), now, dates)
            logger.warning("%s is held: %s", in_words(name, dates), held.reason)
            self._triage = self._triage.without()
            return Inspection(held, window, 0)
        refused = frame[refusals >= 0]
        if len(refused):
            names = [rules[number].name for number in refusals[refusals >= 0]]
            ids = list(self._ids(window, refused))
            self._quarantine.put_aside(name, refused, names, ids, now, dates)
        kept = frame[refusals < 0].reset_index(drop=True)
        self._triage = self._triage.after(kept)
        return Inspection(verdict, replace(window, frame=kept), len(refused) + int(bad.sum()))

    def inspect_labels(self, window: Stretch, frame: pd.DataFrame, told: Told) -> TriageVerdict:
        """Say whether a window is held for its labels, now that they are due; rows whose label
        cannot be used go to quarantine."""
        faulty = add_faults(frame, self._spec.target, told.faults)
        self._put_unusable(
            window.window,
            Window(window.start, window.end, faulty),
            unusable(faulty) & ~unusable(frame),
        )
        bad = unusable(frame)
        frame, labels = frame[~bad], typed_labels(told.values[~bad], self._spec.task)
        verdict = self._triage.check_labels(window.window, frame, labels)
        if not verdict.held:
            self._triage = self._triage.labelled(frame, labels)
            return verdict
        dates = dates_of(frame, self._spec.time, self._times)
        verdict = verdict.model_copy(update={"dates": dates})
        self._hold(window, verdict, len(frame))
        return verdict

    def sound_rows(self, window: Stretch, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Which rows of a checked window can be used and did not go to quarantine."""
        usable: NDArray[np.bool_] = ~unusable(frame)
        aside = {
            row
            for entry in self._quarantine.entries()
            if layout.quarantined_window(entry.record.name) == window.window
            and entry.record.kind == "rows"
            for row in self._quarantine.rows(entry.record.name)[ROW]
        }
        if not aside:
            return usable
        ids = self._ids(Window(window.start, window.end, frame), frame)
        return usable & ~np.isin(ids, list(aside - self._released))

    def _with_strays(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Note the rows whose time is far off, where they are no more than may go aside: a few of
        them are some client's fault, many are the pipe's."""
        usable = ~unusable(frame)
        if self._spec.time is None or not usable.any():
            return frame
        times = frame[self._spec.time]
        far = np.zeros(len(frame), dtype=bool)
        far[usable] = strays(times[usable])
        if not 0 < far[usable].mean() <= self._spec.validation.quarantine_share:
            return frame
        near = times[usable & ~far]
        between = f"{near.min():%Y-%m-%d %H:%M} and {near.max():%Y-%m-%d %H:%M}"
        faults = [
            Fault("is_near", f"{time:%Y-%m-%d %H:%M} is far from its window, between {between} UTC")
            if is_far
            else None
            for time, is_far in zip(times, far, strict=True)
        ]
        return add_faults(frame, self._spec.time, faults)

    def _put_unusable(self, name: str, window: Window, bad: NDArray[np.bool_]) -> None:
        rows = window.frame[bad]
        new = self._quarantine.put_unusable(
            name, rows, list(self._ids(window, rows)), self._clock()
        )
        if new:
            logger.warning("%d rows of %s cannot be used: %s", new, name, rows[FAULT].iloc[0])

    def _hold(self, window: Stretch, verdict: TriageVerdict, rows: int) -> None:
        self._quarantine.hold(
            window.window,
            verdict.causes,
            window.start,
            window.end,
            rows,
            self._clock(),
            verdict.dates,
        )
        which = in_words(window.window, verdict.dates)
        logger.warning("%s is held: %s", which, verdict.reason)

    def _ids(self, window: Window, rows: pd.DataFrame) -> NDArray[Any]:
        numbers = window.start.source_rows + rows.index.to_numpy()
        return np.array(row_ids(rows, numbers, self._spec), dtype=object)

    def _remember(self, past: Sequence[Stretch], first: Window, memory: Memory | None) -> Triage:
        """The stream before the first window: rows of the source, then windows checked before."""
        held = {entry.record.name for entry in self._quarantine.entries() if not entry.releases}
        gap = bool(past) and layout.held_window(past[-1].window) in held
        begin = past[0].start.source_rows if past else first.start.source_rows
        past = [s for s in past if layout.held_window(s.window) not in held][-KEPT:]
        rows = len(first.frame)
        reference = self._stream.source.iloc[:begin]
        if self._spec.monitor.window.duration is None:
            reference = (
                reference.iloc[-(KEPT - len(past)) * rows :] if len(past) < KEPT else reference[:0]
            )
        triage = Triage.fit(
            reference if len(reference) else self._stream.source, self._spec, rows, memory
        )
        frames = [self._stream.read(s.start, s.end) for s in past]
        frames = [_usable(self._with_strays(frame)) for frame in frames]
        if not frames:
            return triage.without() if gap else triage
        together = pd.concat(frames, ignore_index=True)
        told = self._stream.told(together, self._rule)
        labels = typed_labels(told.values, self._spec.task)
        at = 0
        for rows in frames:
            frame = rows.reset_index(drop=True)
            mine = labels.iloc[at : at + len(frame)].reset_index(drop=True)
            at += len(frame)
            known = mine if mine.notna().any() else None
            goes_on = triage.after if memory is None else triage.again
            triage = goes_on(frame, known)
        return triage.without() if gap else triage


def _usable(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[~unusable(frame)]


def _without_target(suite: dict[str, Any] | None, spec: PipelineSpec) -> dict[str, Any] | None:
    """The rules that can be tried before labels have come, on what requests carry."""
    if suite is None:
        return None
    kept = [rule for rule in read_rules(suite) if spec.target not in rule.columns]
    return {**suite, "expectations": [rule.model_dump() for rule in kept]}


def _nothing_usable(name: str, frame: pd.DataFrame) -> TriageVerdict:
    detail = f"no row can be used, such as: {frame[FAULT].iloc[0]}"
    cause = Cause(kind="rules_broken", detail=detail)
    return TriageVerdict(window=name, held=True, causes=(cause,))


def _columns(names: str | None) -> tuple[str, ...]:
    return () if names is None else tuple(names.split(", "))
