"""The loop in figures, for Prometheus: counted from what stands in the store.

Facts are immutable and named in order, so each is read once; a process that starts anew reads them
all again. What they say is therefore the same from every process, and after every restart.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from perennial.drift.pricing import Pricing
from perennial.errors import Damaged, ModelError, PerennialError
from perennial.registry import (
    MISSED,
    HistoryEntry,
    find_declaration,
    is_retrain,
    known_pipelines,
    look_streak,
    measured_costs,
    missed_looks,
    read_look,
    read_manifest,
    read_state,
    retrain_streak,
)
from perennial.report.facts import Check, count_refused, read_check
from perennial.store import Store, layout, read_record
from perennial.store.lease import utc_now

logger = logging.getLogger(__name__)

PHASES = ("start", "make", "rollout")
"""Of a heal: until its run starts, until its version is registered, until that is champion."""
_RETRAINS = {
    "version.registered": "registered",
    "version.refused": "refused",
    "retrain.held": "held",
    "retrain.failed": "failed",
}
_ROLLOUTS = {
    "rollout.promoted": "promoted",
    "rollout.finished": "finished",
    "rollout.rolled_back": "rolled_back",
}
_PREDICTION = "prediction"
_WEIGHED = ("bake", "depth", "cpu_seconds", "untried")
"""What a wait goes by of an entry's details, which may be long."""


@dataclass
class _Pipeline:
    """What was read of one pipeline so far."""

    last_check: str | None = None
    last_entry: str | None = None
    newest: Check | None = None
    asking: Check | None = None
    """The newest check that asks for a heal."""
    verdicts: Counter[str] = field(default_factory=Counter)
    retrains: Counter[tuple[str, str]] = field(default_factory=Counter)
    rollouts: Counter[str] = field(default_factory=Counter)
    asked_at: dict[str, datetime] = field(default_factory=dict)
    registered_at: dict[str, datetime] = field(default_factory=dict)
    heals: dict[str, tuple[int, float]] = field(
        default_factory=lambda: dict.fromkeys(PHASES, (0, 0.0))
    )
    """Count and seconds by phase."""
    entries: list[HistoryEntry] = field(default_factory=list)
    retrained_in: int = 0
    """Number of the window that asked for the newest retrain."""


class LoopMetrics(Collector):
    """A collector for a Prometheus registry. Safe to share between threads.

    Args:
        store: where the facts are.
        every: seconds between two looks; scrapes in between get what was seen last.
    """

    def __init__(
        self,
        store: Store,
        *,
        every: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store, self._every, self._clock, self._now = store, every, clock, now
        self._pipelines: dict[str, _Pipeline] = {}
        self._families: list[Metric] = []
        self._due = float("-inf")
        self._lock = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        """Give every figure; none but ``perennial_loop_seen`` 0 while the store is away."""
        with self._lock:
            if self._clock() >= self._due:
                self._families = self._look()
                self._due = self._clock() + self._every
            return list(self._families)

    def describe(self) -> Iterable[Metric]:
        """Nothing is looked at for the names alone."""
        return []

    def _look(self) -> list[Metric]:
        seen = GaugeMetricFamily("perennial_loop_seen", "1 where the store could be read.")
        try:
            families = [*self._read_all()]
        except PerennialError as error:
            logger.warning("the loop cannot be seen: %s", error)
            seen.add_metric([], 0)
            return [seen]
        seen.add_metric([], 1)
        return [seen, *families]

    def _read_all(self) -> Iterator[Metric]:
        found = _Families()
        for name in known_pipelines(self._store):
            pipeline = self._pipelines.setdefault(name, _Pipeline())
            try:
                self._read_checks(name, pipeline)
                self._read_history(name, pipeline)
                self._tell(name, pipeline, found)
                self._tell_failures(name, pipeline, found)
            except Damaged as error:
                logger.warning("%s is set aside: %s", name, error)
                found.damaged.add_metric([name], 1)
            else:
                found.damaged.add_metric([name], 0)
        return iter(found.all())

    def _read_checks(self, name: str, known: _Pipeline) -> None:
        for info in [*self._store.scan(layout.checks(name), after=known.last_check)]:
            check = read_check(self._store, info.key)
            known.last_check, known.newest = info.key, check
            known.verdicts[check.decision.depth or check.decision.action] += 1
            if check.decision.action == "heal":
                known.asking = check
                known.asked_at[info.key] = check.at

    def _read_history(self, name: str, known: _Pipeline) -> None:
        for info in [*self._store.scan(layout.history(name), after=known.last_entry)]:
            entry = read_record(HistoryEntry, self._store.get(info.key))
            known.last_entry = info.key
            kept = {key: entry.details[key] for key in _WEIGHED if key in entry.details}
            known.entries.append(entry.model_copy(update={"details": kept}))
            if (outcome := _RETRAINS.get(entry.event)) is not None:
                known.retrains[outcome, str(entry.details.get("depth", "retrain"))] += 1
                if outcome not in ("held", "failed"):
                    self._count_making(entry, known)
            if (outcome := _ROLLOUTS.get(entry.event)) is not None:
                known.rollouts[outcome] += 1
            if entry.event == "rollout.promoted" and entry.version in known.registered_at:
                _add(known, "rollout", entry.at - known.registered_at.pop(entry.version))

    def _count_making(self, entry: HistoryEntry, known: _Pipeline) -> None:
        if is_retrain(entry) and entry.cause is not None:
            known.retrained_in = layout.window_number(layout.checked_window(entry.cause))
        if entry.event != "version.registered" or entry.version is None:
            return
        known.registered_at[entry.version] = entry.at
        started = entry.details.get("started_at")
        if started is None:
            return
        began = datetime.fromisoformat(started)
        _add(known, "make", entry.at - began)
        asked = known.asked_at.get(entry.cause or "")
        if asked is not None:
            _add(known, "start", began - asked)

    def _tell(self, name: str, known: _Pipeline, found: _Families) -> None:
        state = read_state(self._store, name).state
        found.checks.add_metric([name], sum(known.verdicts.values()))
        for verdict, count in sorted(known.verdicts.items()):
            found.verdicts.add_metric([name, verdict], count)
        for (outcome, depth), count in sorted(known.retrains.items()):
            found.retrains.add_metric([name, outcome, depth], count)
        for outcome, count in sorted(known.rollouts.items()):
            found.rollouts.add_metric([name, outcome], count)
        for phase, (count, seconds) in known.heals.items():
            found.heals.add_metric([name, phase], count_value=count, sum_value=seconds)
        found.budget.add_metric([name], self._windows_left(name, known))
        asking = known.asking
        answered = asking is None or (state.answered or "") >= asking.window
        waits = 0.0 if answered or asking is None else self._seconds_since(asking.at)
        found.unanswered.add_metric([name], waits)
        if state.champion is not None:
            try:
                made = read_manifest(self._store, name, state.champion).created_at
                found.age.add_metric([name, state.champion], self._seconds_since(made))
            except ModelError as error:
                logger.warning("%s", error)
        rows, held = count_refused(self._store, name)
        found.quarantine.add_metric([name], rows)
        found.held.add_metric([name], held)
        if known.newest is not None:
            found.checked.add_metric([name], self._seconds_since(known.newest.at))
            self._tell_evidence(name, known.newest, found)

    def _tell_failures(self, name: str, known: _Pipeline, found: _Families) -> None:
        """What fails again and again, or does not come though it is due."""
        retrains = retrain_streak(reversed(known.entries))
        look = read_look(self._store, name)
        declaration = find_declaration(self._store, name)
        schedule = None if declaration is None else declaration.spec.monitor.schedule
        found.failed_retrains.add_metric([name], retrains.failures)
        found.failed_looks.add_metric([name], look_streak(look).failures)
        missed = missed_looks(schedule, look, retrains.success, self._now())
        found.missed_looks.add_metric([name], missed)

    def _tell_evidence(self, name: str, check: Check, found: _Families) -> None:
        """How far the newest window lay from what was usual."""
        for one in check.losses[-1:]:
            found.loss.add_metric([name], one.ratio)
        if check.input is None:
            return
        moved = [v for v in check.input.features if v.aspect == _PREDICTION]
        found.shifted.add_metric([name], sum(v.shifted for v in check.input.features))
        found.prediction.add_metric([name], max((v.effect for v in moved if v.shifted), default=0))

    def _windows_left(self, name: str, known: _Pipeline) -> float:
        """What is left of the wait before another retrain may be asked for."""
        declaration = find_declaration(self._store, name)
        if declaration is None or known.newest is None or not known.retrained_in:
            return 0.0
        policy, entries = declaration.spec.policy, known.entries
        pricing = Pricing(policy, measured_costs(entries))
        waited = layout.window_number(known.newest.window) - known.retrained_in
        return float(max(0, pricing.quiet_windows - waited))

    def _seconds_since(self, moment: datetime) -> float:
        return max(0.0, (self._now() - moment).total_seconds())


class _Families:
    """Every metric, empty."""

    def __init__(self) -> None:
        one = ["pipeline"]
        self.checks = CounterMetricFamily(
            "perennial_loop_checks", "Windows that were judged.", labels=one
        )
        self.verdicts = CounterMetricFamily(
            "perennial_loop_verdicts",
            "What the policy decided: keep, hold, or the depth of a heal.",
            labels=[*one, "decision"],
        )
        self.retrains = CounterMetricFamily(
            "perennial_loop_retrains",
            "Retrains by what came of them, and by their depth; held, failed: before the gate.",
            labels=[*one, "outcome", "depth"],
        )
        self.rollouts = CounterMetricFamily(
            "perennial_loop_rollouts",
            "Versions that were promoted, finished their bake, or were rolled back.",
            labels=[*one, "outcome"],
        )
        self.heals = SummaryMetricFamily(
            "perennial_loop_heal_seconds",
            "Time to heal by phase: start, make, rollout.",
            labels=[*one, "phase"],
        )
        self.budget = _gauge(
            "budget_wait_windows", "Windows until another retrain may be asked for; 0: it may."
        )
        self.unanswered = _gauge(
            "unanswered_seconds", "How long a heal has been asked for without an answer; 0: none."
        )
        self.age = GaugeMetricFamily(
            "perennial_loop_champion_age_seconds",
            "Since the champion was made.",
            labels=[*one, "version"],
        )
        self.quarantine = _gauge("quarantine_rows", "Rows in quarantine that are not released.")
        self.held = _gauge("held_windows", "Windows that are held and not released.")
        self.checked = _gauge("check_age_seconds", "Since the newest check.")
        self.loss = _gauge("loss_ratio", "Loss over promise in the newest window with labels.")
        self.shifted = _gauge("shifted_features", "Shifts in the newest window that count.")
        self.failed_retrains = _gauge(
            "failed_retrains", "Retrains of any depth that failed in a row, before a gate."
        )
        self.failed_looks = _gauge("failed_looks", "Runs of the monitor that failed in a row.")
        self.missed_looks = _gauge(
            "missed_looks",
            f"Runs of the monitor that were due since the last one; {MISSED} at most.",
        )
        self.damaged = _gauge(
            "damaged", "1 where the store has something of a pipeline that cannot be read."
        )
        self.prediction = _gauge(
            "prediction_shift",
            "PSI of the champion's answers in the newest window where they shifted, else 0.",
        )

    def all(self) -> list[Metric]:
        """In the order in which they are written."""
        return list(vars(self).values())


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"perennial_loop_{name}", text, labels=["pipeline"])


def _add(known: _Pipeline, phase: str, span: timedelta) -> None:
    count, seconds = known.heals[phase]
    known.heals[phase] = (count + 1, seconds + max(0.0, span.total_seconds()))
