"""A pipeline in memory: `perennial.loop` on a recorded stream.

At each window's end the monitor looks at the labels known by then, and what it asks for is made,
judged and registered as in production; it answers from the next window on, or as soon as its
rollout lets it. Nothing comes from the future.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from numpy.typing import NDArray

from perennial.backtest.baselines import score_windows
from perennial.backtest.memory import A_ROW, BEGAN, MemorySnapshots, MemoryStream
from perennial.backtest.stream import Cut, Recorded
from perennial.backtest.traffic import RUN, Traffic
from perennial.errors import SourceError, TrainingError
from perennial.loop.candidate import make_candidate
from perennial.loop.gate import judge_candidate
from perennial.loop.inspection import Expectations
from perennial.loop.meter import Meter
from perennial.loop.monitor import PipelineMonitor
from perennial.loop.recipe import Learned, divide_rows
from perennial.loop.record import WindowCheck, asks_for_heal
from perennial.loop.registration import (
    Provenance,
    refuse_candidate,
    refuse_untried,
    register_candidate,
)
from perennial.loop.request import RetrainRequest
from perennial.loop.sound import fix_rows, learn_first, write_down_held
from perennial.loop.versions import Champion, read_champion
from perennial.registry import (
    Declaration,
    HistoryEntry,
    State,
    append_history,
    new_entry,
    read_history,
    read_manifest,
    read_state,
)
from perennial.spec import MIN_WINDOW_ROWS, Depth, PipelineSpec, Rollout, Span
from perennial.store import Lease, acquire_lease, layout
from perennial.store.memory import MemoryStore
from perennial.validation.quarantine import Quarantine
from perennial.validation.suites import find_sound_suite

AT_ONCE = Rollout(shadow=None, canary=None, bake=None)
"""A version takes over as soon as it is registered."""


@dataclass(frozen=True)
class ReplayedRun:
    """What the loop would have done on a stream."""

    score: float
    window_scores: tuple[float, ...]
    outputs: NDArray[Any]
    """Answers to all rows behind the first fraction (rows, width)."""
    checks: tuple[WindowCheck, ...]
    history: tuple[HistoryEntry, ...]
    fits: int
    """All fits: bases, refused ones too, and small models, also those that were only tried."""
    cpu_seconds: float
    """CPU time of the fits and the trials."""
    first_cpu_seconds: float
    """What of it version 1 took: the competition of the families, and the fit that won."""
    seconds: float
    """On the wall, of all."""

    def heals(self, depth: Depth) -> int:
        """How many heals of a depth took over, behind version 1."""
        made = {e.version: e.details["depth"] for e in self._of("version.registered")}
        over = [entry.version for entry in self._of("rollout.promoted")]
        return sum(made[version] == depth for version in over[1:])

    @property
    def refused(self) -> dict[str, str]:
        """Why candidates were refused by the gate, by the window that asked for each."""
        return {
            layout.checked_window(entry.cause): entry.reason
            for entry in self._of("version.refused")
            if entry.cause is not None
        }

    def _of(self, event: str) -> list[HistoryEntry]:
        return [entry for entry in self.history if entry.event == event]


def replay(recorded: Recorded, declaration: Declaration) -> ReplayedRun:
    """Replay the loop over a stream.

    The monitor's windows are those of the cut, whatever is declared.

    Raises:
        SourceError: the windows are too short to be judged, or no row of the first fraction has a
            label.
        TrainingError: version 1 cannot be trained, or its gate refuses it.
    """
    spec = declared_as_cut(recorded.spec, recorded.where)
    run = _Pipeline(replace(recorded, spec=spec), declaration.model_copy(update={"spec": spec}))
    run.train_first()
    for window in range(recorded.where.windows):
        run.step(window)
    return run.result()


class _Pipeline:
    """A pipeline in memory."""

    def __init__(self, recorded: Recorded, declaration: Declaration) -> None:
        self._recorded, self._where = recorded, recorded.where
        self._spec = recorded.spec
        self._declaration = declaration
        self._name = recorded.spec.name
        self._ticks = 0
        self._began = time.perf_counter()
        self.store = MemoryStore(self._clock)
        self._snapshots = MemorySnapshots(self.store, self._name)
        self._meter = Meter()
        self._champions: dict[str, Champion] = {}
        self._checks: list[WindowCheck] = []
        self._traffic = Traffic(self.store, recorded, self._version, self._clock)

    def train_first(self) -> None:
        """Make version 1 of the first fraction."""
        stream = self._stream(-1)
        learn_first(self.store, stream.gather(self._quarantine).frame, self._spec)
        self._heal(stream, "the first version", "retrain", None)
        if self._champion() is None:
            reasons = [entry.reason for entry in read_history(self.store, self._name)]
            raise TrainingError(f"version 1 of {self._name} was not made: {'; '.join(reasons)}")
        self._first_cpu_seconds = self._meter.cpu_seconds

    def step(self, window: int) -> None:
        """Answer a window, look at it, and heal where the policy says so."""
        self._traffic.answer(*self._where.rows(window))
        self._traffic.tell(window)
        check = self._look(window)
        asks = asks_for_heal(self.store, self._name, [check], self._state().answered)
        if asks is not None and window + 1 < self._where.windows:
            decision, cause = asks.decision, layout.check(self._name, asks.window)
            self._heal(self._stream(window), decision.told, decision.depth or "retrain", cause)

    def result(self) -> ReplayedRun:
        """Sum up what was seen."""
        recorded = self._recorded
        pooled, by_window = score_windows(
            recorded.frame, recorded.spec, recorded.classes, self._where, self._traffic.served
        )
        return ReplayedRun(
            score=pooled,
            window_scores=by_window,
            outputs=self._traffic.served,
            checks=tuple(self._checks),
            history=tuple(read_history(self.store, self._name)),
            fits=self._meter.fits,
            cpu_seconds=self._meter.cpu_seconds,
            first_cpu_seconds=self._first_cpu_seconds,
            seconds=time.perf_counter() - self._began,
        )

    def _clock(self) -> datetime:
        """The time of the row that was asked last; what happens between two rows is in order."""
        self._ticks += 1
        return BEGAN + self._traffic.row * A_ROW + timedelta(milliseconds=self._ticks)

    @property
    def _quarantine(self) -> Quarantine:
        return Quarantine(self.store, self._name)

    def _stream(self, window: int) -> MemoryStream:
        return MemoryStream(self._recorded, window)

    def _state(self) -> State:
        return read_state(self.store, self._name).state

    def _version(self, name: str) -> Champion:
        if name not in self._champions:
            manifest = read_manifest(self.store, self._name, name)
            self._champions[name] = read_champion(self.store, manifest)
        return self._champions[name]

    def _champion(self) -> Champion | None:
        name = self._state().champion
        return None if name is None else self._version(name)

    # Looks, and what is done about them

    def _look(self, window: int) -> WindowCheck:
        champion = self._champion()
        assert champion is not None
        rules = Expectations(*find_sound_suite(self.store, self._declaration))
        monitor = PipelineMonitor(
            self.store,
            self._spec,
            self._stream(window),
            champion,
            rules,
            clock=self._clock,
            meter=self._meter,
        )
        (check,) = monitor.checks()
        self.store.put_json(layout.check(self._name, check.window), check, if_absent=True)
        self._checks.append(check)
        return check

    def _heal(self, stream: MemoryStream, reason: str, depth: Depth, cause: str | None) -> None:
        request = RetrainRequest(
            reason=reason,
            cause=cause,
            run=RUN,
            started_at=self._clock(),
            depth=depth,
            span=None,
        )
        lease = acquire_lease(self.store, self._name, RUN)
        try:
            self._make(stream, request, lease)
        except TrainingError as error:
            # As a run that fails: the window goes on asking.
            entry = new_entry(
                "retrain.failed",
                reason=str(error),
                by=RUN,
                cause=cause,
                details={"depth": depth},
                at=self._clock(),
            )
            append_history(self.store, self._name, entry)
        finally:
            lease.release()
        self._traffic.begin()

    def _make(self, stream: MemoryStream, request: RetrainRequest, lease: Lease) -> None:
        gathered = stream.gather(self._quarantine)
        suite, _ = find_sound_suite(self.store, self._declaration)
        assert suite is not None
        fixed = fix_rows(self.store, self._snapshots, gathered, suite, clock=self._clock)
        if fixed.report.held:
            reason = "; ".join(str(finding) for finding in fixed.report.held)
            write_down_held(self.store, self._name, reason, request, clock=self._clock)
            return
        frame, champion = self._snapshots.rows(fixed.snapshot.sha256), self._champion()
        learned = None if champion is None else Learned.of(champion, self._snapshots)
        asked = request.decision(self.store, self._name)
        division = divide_rows(
            frame,
            self._spec,
            request.depth,
            champion,
            learned,
            late=0 if asked is None else asked.late,
            asked_by_hand=request.by_hand,
        )
        if division.refusal is not None:
            refuse_untried(self.store, lease, request, division.refusal, clock=self._clock)
            return
        candidate = make_candidate(
            frame,
            self._spec,
            division,
            champion,
            depth=request.depth,
            mixture=None if asked is None else asked.mixture,
            meter=self._meter,
        )
        if candidate.refusal is not None:
            refuse_untried(self.store, lease, request, candidate.refusal, clock=self._clock)
            return
        judged = judge_candidate(candidate, self._spec, champion)
        provenance = Provenance(self._declaration, fixed.snapshot.sha256, request)
        write = register_candidate if judged.passed else refuse_candidate
        write(self.store, lease, provenance, candidate, judged, clock=self._clock)


def declared_as_cut(spec: PipelineSpec, where: Cut) -> PipelineSpec:
    """Declare the windows of a cut for the monitor's.

    Raises:
        SourceError: they are shorter than windows may be.
    """
    rows = where.window_rows
    if rows < MIN_WINDOW_ROWS:
        raise SourceError(
            f"{where.windows} windows of {rows} rows are too short to be judged, a window has at "
            f"least {MIN_WINDOW_ROWS}: ask for fewer windows"
        )
    monitor = spec.monitor.model_copy(update={"window": Span(rows=rows)})
    return spec.model_copy(update={"monitor": monitor})
