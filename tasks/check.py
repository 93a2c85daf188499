"""Judge the windows that came since the last check, and ask for a heal until one has answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import chain, pairwise

from prefect.logging import get_run_logger
from pydantic import BaseModel, ConfigDict

from perennial.datasets.snapshot import find_snapshot
from perennial.datasets.source import read_source
from perennial.datasets.stream import Cursor, Window, cut_windows
from perennial.drift.detector import InputVerdict
from perennial.drift.loss import LossVerdict
from perennial.drift.policy import Decision, HealRecord, Verdicts, decide
from perennial.drift.record import Check
from perennial.drift.why import Explanation
from perennial.errors import Conflict
from perennial.evaluation.mixing import HeadTrial, mix
from perennial.registry import (
    Declaration,
    Manifest,
    State,
    base_of,
    failures_in_a_row,
    read_history,
    read_manifest,
    read_state,
    rollbacks_in_a_row,
)
from perennial.rollout.stages import in_flight
from perennial.spec import HeadDepth
from perennial.store import layout
from perennial.store.lease import utc_now
from perennial.validation.triage import TriageVerdict
from tasks import events
from tasks.artifacts import publish, table
from tasks.connection import fetch, store
from tasks.drift_artifact import publish_drift
from tasks.judge import Due, Judge, PendingWindow, read_due
from tasks.notify import notify
from tasks.step import step
from tasks.triage import Inspection, Inspector, Stretch
from tasks.versions import find_champion, metrics_of

_PENDING_WINDOWS = 50
_REMEMBERED = 60


class Place(BaseModel):
    """Where the monitor stands; the ``cursor`` of a `Check`."""

    model_config = ConfigDict(frozen=True)

    end: Cursor
    pending: tuple[PendingWindow, ...] = ()


class WindowCheck(Check):
    """A check with what triage said of the data."""

    data: tuple[TriageVerdict, ...] = ()
    """Windows that were found to be held at this look: this one, or older ones by their labels."""
    refused: int = 0
    """Rows of this window that went to quarantine; the inputs are those of the others."""


class CheckRef(BaseModel):
    """A check by its key, and what it came to."""

    key: str
    window: str
    decision: Decision
    held: str | None = None
    """Why data are held, where some are."""


@step(retries=2, retry_delay_seconds=2)
def check_windows(declaration: Declaration) -> list[CheckRef]:
    """Judge every full window behind the last check; each verdict is written before the next."""
    name = declaration.spec.name
    champion = find_champion(name)
    if champion is None:
        get_run_logger().info("%s has no version yet: there is nothing to judge", name)
        return []
    watch = Watch(declaration, champion)
    done = []
    for check in watch.checks():
        ref = _write(check)
        if ref is None:
            break
        done.append(ref)
        _tell_held(name, ref)
    if done:
        _publish(name, watch.history)
        publish_drift(name, watch.history[-len(done) :])
    return done


@step(retries=3, retry_delay_seconds=2)
def repeat_requests(declaration: Declaration) -> str | None:
    """Send the events that nobody has answered: a confirmed drift, a version that waits.

    An event may be lost; what it tells stands in the store, so it is sent at each check until the
    state says that it was answered.

    Returns:
        Why a heal is being asked for, or None.
    """
    name = declaration.spec.name
    state = read_state(store(), name).state
    if state.challenger is not None or in_flight(state):
        events.emit(events.ROLLOUT_CONTINUES, name, {"version": state.challenger})
    confirmed = unanswered(name, state)
    if confirmed is None:
        return None
    events.emit(
        events.DRIFT_CONFIRMED,
        name,
        {
            "window": confirmed.window,
            "reason": confirmed.decision.reason,
            "verdict": layout.check(name, confirmed.window),
            "depth": confirmed.decision.depth or "retrain",
        },
    )
    return confirmed.decision.reason


def unanswered(pipeline: str, state: State) -> Check | None:
    """The newest check that asks for a heal which no retrain has answered."""
    after = layout.check(pipeline, state.answered) if state.answered is not None else None
    keys = [info.key for info in store().scan(layout.checks(pipeline), after=after)]
    for key in reversed(keys[-_REMEMBERED:]):
        check = _read(key)
        if check.decision.action == "heal":
            return check
    return None


class Watch:
    """The monitor's view of one champion: its reference, its promise, its verdicts so far."""

    def __init__(self, declaration: Declaration, champion: Manifest) -> None:
        self._declaration = declaration
        self._spec = declaration.spec
        self._champion = champion
        self._base = base_of(store(), champion)
        self._source = read_source(self._spec, declaration.path, fetch=fetch)
        keys = [info.key for info in store().scan(layout.checks(self._spec.name))]
        recent = [_read(key) for key in keys[-_REMEMBERED:]]
        self._recent = recent
        self._last = recent[-1] if recent else None
        mine = self._base.version
        self.history = [check for check in recent if (check.base or check.champion) == mine]

    def checks(self) -> Iterator[WindowCheck]:
        """Yield a check for each full window that came since the last one."""
        place = self._place()
        windows = cut_windows(store(), self._spec, self._source, place.end)
        first = next(windows, None)
        if first is None:
            return
        number = _number(self._last.window) if self._last is not None else 0
        judge = Judge(self._spec, self._champion, self._base, len(first.frame))
        inspector = Inspector(self._declaration, self._source, self._past(), first)
        for window in chain([first], windows):
            number += 1
            check = self._check(f"w{number:06d}", window, place, judge, inspector)
            place = Place.model_validate(check.cursor)
            self.history.append(check)
            yield check

    def _check(
        self, name: str, window: Window, place: Place, judge: Judge, inspector: Inspector
    ) -> WindowCheck:
        """Look at a window, and at older ones whose labels have come; what is held is no evidence
        of drift."""
        found = inspector.inspect(name, window)
        held = [found.verdict] if found.verdict.held else []
        pending = place.pending
        if not held:
            pending = (*pending, PendingWindow(window=name, start=window.start, end=window.end))
        losses: list[LossVerdict] = []
        labels: list[InputVerdict] = []
        trials: list[HeadTrial] = []
        due, left = judge.due(self._source, pending)
        for known in due:
            verdict = inspector.inspect_labels(known.stretch, known.frame, known.labels)
            if verdict.held:
                held.append(verdict)
                continue
            sound = known.take(inspector.sound_rows(known.stretch, known.frame))
            losses += judge.losses(sound)
            trials += self._trial(judge, inspector, sound, name, trials)
            labels += judge.labels(sound, [*self._labels_seen(), *labels])
        held += inspector.overdue(_number(name), (w.stretch for w in left), self.history)
        inputs = None if found.verdict.held else judge.inputs(found.sound, self._inputs_seen())
        seen = Verdicts(window=name, input=inputs, losses=tuple(losses), trials=tuple(trials))
        end = Place(end=window.end, pending=left[-_PENDING_WINDOWS:])
        return WindowCheck(
            **dict(seen),
            pipeline=self._spec.name,
            cursor=end.model_dump(mode="json"),
            rows=len(window.frame),
            champion=self._champion.version,
            base=self._base.version,
            decision=self._decide(seen, found),
            labels=tuple(labels),
            why=self._explain(judge, found.sound, seen),
            data=tuple(held),
            refused=found.refused,
            at=utc_now(),
        )

    def _trial(
        self, judge: Judge, inspector: Inspector, due: Due, now: str, newer: list[HeadTrial]
    ) -> list[HeadTrial]:
        """Try heads on a window whose labels have come, fitted on what was labelled when its rows
        were answered: windows that came in as late before it."""
        from perennial.training.heads.heal import HEAD_WINDOWS

        end = _number(due.stretch.window) - (_number(now) - _number(due.stretch.window))
        labelled = {loss.window for check in self.history for loss in check.losses}
        before = [
            stretch
            for stretch in self._past()
            if stretch.window in labelled and _number(stretch.window) < end
        ]
        known = [read_due(self._spec, self._source, stretch) for stretch in before[-HEAD_WINDOWS:]]
        sound = [one.take(inspector.sound_rows(one.stretch, one.frame)) for one in known]
        return judge.trial(due, sound, mix([*self._trials(), *newer]))

    def _trials(self) -> list[HeadTrial]:
        """What heads on the champion's base have shown, the oldest first."""
        born = metrics_of(self._base).trials
        return [*born, *(trial for check in self.history for trial in check.trials)]

    def _inputs_seen(self) -> list[InputVerdict]:
        return [check.input for check in self.history if check.input is not None]

    def _labels_seen(self) -> list[InputVerdict]:
        return [verdict for check in self.history for verdict in check.labels]

    def _explain(self, judge: Judge, window: Window, seen: Verdicts) -> Explanation | None:
        if seen.input is None or not seen.input.confirmed:
            return None
        return judge.explain(window, [*self.history, seen])

    def _past(self) -> list[Stretch]:
        """Where the windows lie that were checked before, the oldest first."""
        places = [(check.window, Place.model_validate(check.cursor).end) for check in self._recent]
        if self._recent and _number(self._recent[0].window) == 1:
            places = [("", self._beginning(self._recent[0].champion)), *places]
        return [Stretch(name, start, end) for (_, start), (name, end) in pairwise(places)]

    def _beginning(self, champion: str) -> Cursor:
        """Where the very first window began: behind what its champion was trained on."""
        lineage = read_manifest(store(), self._spec.name, champion).lineage
        return Cursor(
            source_rows=find_snapshot(store(), self._spec.name, lineage.snapshot).source_rows
        )

    def _place(self) -> Place:
        """Where the last check ended; rows of the source that the champion has seen are behind."""
        place = Place.model_validate(self._last.cursor) if self._last else Place(end=Cursor())
        snapshot = find_snapshot(store(), self._spec.name, self._champion.lineage.snapshot)
        rows = max(place.end.source_rows, snapshot.source_rows)
        return place.model_copy(update={"end": place.end.model_copy(update={"source_rows": rows})})

    def _decide(self, seen: Verdicts, found: Inspection) -> Decision:
        name, policy = self._spec.name, self._spec.policy
        if found.verdict.held:
            reason = f"data held: {found.verdict.reason}"
            return Decision(action="hold", ground="data", reason=reason)
        state = read_state(store(), name).state
        waiting = unanswered(name, state)
        if waiting is not None:
            reason = f"the heal that window {waiting.window} asked for has not been answered yet"
            return Decision(action="keep", ground="none", reason=reason)
        if state.challenger is not None:
            reason = f"{state.challenger} is on its way to take over ({state.stage})"
            return Decision(action="keep", ground="none", reason=reason)
        return decide([*self._born(), *self.history, seen], self._heals(seen, state), policy)

    def _born(self) -> list[Verdicts]:
        """The trials by which a retrained base was given its heads stand before its windows."""
        born = metrics_of(self._base).trials
        return [Verdicts(window=born[-1].window, trials=born)] if born else []

    def _heals(self, seen: Verdicts, state: State) -> HealRecord:
        """What became of earlier heals. After a heal that was undone on live traffic, heads wait
        too: the same rows would bring the same head back."""
        entries = list(read_history(store(), self._spec.name))
        retrains = [entry for entry in entries if entry.details.get("depth") == "retrain"]
        since = None
        if state.answered is not None:
            since = _number(seen.window) - _number(state.answered)
        return HealRecord(
            windows_since=since,
            retrain_windows=self._windows_after(retrains[-1].at) if len(retrains) > 1 else None,
            refused=failures_in_a_row(retrains),
            undone=rollbacks_in_a_row(entries),
            headed=bool(_shares(self._champion)),
        )

    def _windows_after(self, moment: datetime) -> int:
        """Windows checked since, the present one included."""
        return 1 + sum(check.at > moment for check in self._recent)


def _shares(version: Manifest) -> dict[HeadDepth, float]:
    recipe = version.lineage.recipe
    return {} if recipe is None else recipe.shares


def _tell_held(pipeline: str, ref: CheckRef) -> None:
    """Say that data are held: an event, and a message to who wants to know."""
    if ref.held is None:
        return
    payload = {"window": ref.window, "reason": ref.held, "verdict": ref.key}
    events.emit(events.DATA_HELD, pipeline, payload)
    notify(f"{pipeline}: data held, the champion goes on", ref.held)


def _write(check: WindowCheck) -> CheckRef | None:
    """Write a check once; None where another monitor judged this window first."""
    key = layout.check(check.pipeline, check.window)
    try:
        store().put_json(key, check, if_absent=True)
    except Conflict:
        get_run_logger().info("%s was judged by another run at the same time", check.window)
        return None
    get_run_logger().info("%s: %s (%s)", check.window, check.decision.name, check.decision.reason)
    held = "; ".join(f"{v.window}: {v.reason}" for v in check.data) or None
    return CheckRef(key=key, window=check.window, decision=check.decision, held=held)


def _read(key: str) -> Check:
    return Check.model_validate_json(store().get(key).data)


def _number(window: str) -> int:
    return int(window.removeprefix("w"))


def _shifts(check: Check) -> list[InputVerdict]:
    return [*([] if check.input is None else [check.input]), *check.labels]


def _publish(pipeline: str, history: list[Check]) -> None:
    rows = [
        (
            check.window,
            check.rows,
            ", ".join(v.label for seen in _shifts(check) for v in seen.culprits),
            ", ".join(f"{v.window}: {v.ratio:.2f}" for v in check.losses),
            check.decision.name,
            check.decision.reason,
        )
        for check in reversed(history)
    ]
    header = ["window", "rows", "shifted", "loss over promise", "decision", "reason"]
    publish("monitor", pipeline, table(header, rows), description=history[-1].window)
