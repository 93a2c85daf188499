"""The monitor's view of one champion, window by window."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from itertools import chain, pairwise
from math import ceil

from perennial.datasets.dates import dates_of, in_words
from perennial.datasets.feedback import SLACK, FeedbackSeen
from perennial.datasets.snapshot import find_snapshot
from perennial.datasets.stream import Cursor, Window, label_lag
from perennial.drift.decision import Decision, HealRecord, Verdicts
from perennial.drift.detector import InputVerdict
from perennial.drift.loss import LossVerdict
from perennial.drift.policy import decide
from perennial.drift.why import Explanation
from perennial.errors import NotFound
from perennial.evaluation.division import head_span
from perennial.evaluation.mixing import MemberErrors
from perennial.loop.evidence import Due, Examiner, read_due
from perennial.loop.fold import HistoryFold, Past
from perennial.loop.inspection import Expectations, Inspection, Inspector
from perennial.loop.meter import Meter
from perennial.loop.patience import told_of_silence
from perennial.loop.places import PendingWindow, Place, Stretch, windows_between
from perennial.loop.ports import Stream
from perennial.loop.record import (
    Facts,
    WindowCheck,
    keep_fact,
    newest_checks,
    unanswered,
    windows_by,
)
from perennial.loop.versions import Champion, read_champion
from perennial.registry import read_manifest
from perennial.spec import PipelineSpec
from perennial.store import Store
from perennial.store.layout import window_name, window_number
from perennial.store.lease import utc_now
from perennial.validation.quarantine import Quarantine

_PENDING_WINDOWS = 50


class PipelineMonitor:
    """The monitor's view of one champion: its reference, its promise, its verdicts so far.

    Args:
        store: keeps the pipeline's record.
        stream: gives the rows, and the labels that are known by this look.
        champion: the version that answers.
        meter: what counts the trials of heads.
    """

    def __init__(
        self,
        store: Store,
        spec: PipelineSpec,
        stream: Stream,
        champion: Champion,
        expectations: Expectations,
        clock: Callable[[], datetime] = utc_now,
        meter: Meter | None = None,
    ) -> None:
        self._store = store
        self._spec = spec
        self._stream = stream
        self._champion = champion
        self._expectations = expectations
        self._clock = clock
        self._meter = meter
        self._history_fold = HistoryFold(store, spec.name)
        self.recent = [*newest_checks(store, spec.name)][::-1]
        """The newest checks, the last one last; of any champion."""
        self._last = self.recent[-1] if self.recent else None
        mine = champion.newest.version
        self.history = [c for c in self.recent if (c.base or c.champion) == mine]
        self._window_rows = 1
        time = champion.signature.time
        self._times = None if time is None else time.format

    def checks(self) -> Iterator[WindowCheck]:
        """Yield a check for each full window that came since the last one."""
        place = self._place()
        windows = self._stream.windows(place.end)
        first = next(windows, None)
        if first is None:
            return
        number = window_number(self._last.window) if self._last is not None else 0
        look = self._begin(window_name(number + 1))
        self._window_rows = len(first.frame)
        examiner = Examiner(self._spec, self._champion, self._window_rows, self._meter)
        inspector = Inspector(
            self._spec,
            self._stream,
            Quarantine(self._store, self._spec.name),
            self._expectations.suite,
            past=self._past(),
            memory=None if self._last is None else self._last.memory,
            first=first,
            rule=examiner.rule,
            times=self._times,
            clock=self._clock,
        )
        for window in chain([first], windows):
            number += 1
            check = self._check(window_name(number), look, window, place, examiner, inspector)
            place = Place.model_validate(check.cursor)
            self.history.append(check)
            self.recent.append(check)
            yield check

    def _begin(self, window: str) -> Facts:
        """Note what is known at this look."""
        name, suite = self._spec.name, self._expectations.suite
        return Facts(
            window=window,
            at=self._clock(),
            declaration=keep_fact(self._store, name, self._spec.model_dump(mode="json")),
            suite=None if suite is None else keep_fact(self._store, name, suite),
            source_rows=len(self._stream.source),
            requests=self._stream.requests,
            labels=self._stream.labels,
        )

    def _check(
        self,
        name: str,
        facts: Facts,
        window: Window,
        place: Place,
        examiner: Examiner,
        inspector: Inspector,
    ) -> WindowCheck:
        """Look at a window, and at older ones whose labels have come; what is held is no evidence
        of drift."""
        found = inspector.inspect(name, window)
        held = [found.verdict] if found.verdict.held else []
        pending = place.pending
        if not held:
            pending = (*pending, PendingWindow(window=name, start=window.start, end=window.end))
        losses: list[LossVerdict] = []
        unknown = 0.0
        labels: list[InputVerdict] = []
        errors: list[MemberErrors] = []
        away = tuple(w for w in pending if not self._stream.holds(w.start, w.end))
        pending = tuple(w for w in pending if w not in away)
        due, left = examiner.due(self._stream, pending)
        for known in due:
            verdict = inspector.inspect_labels(known.stretch, known.frame, known.told)
            if verdict.held:
                held.append(verdict)
                continue
            sound = known.take(inspector.sound_rows(known.stretch, known.frame))
            losses += examiner.losses(sound)
            unknown = max(unknown, examiner.unknown(sound))
            errors += self._errors(examiner, sound, name)
            labels += examiner.labels(sound, [*self._labels_seen(), *labels])
        inputs = estimated = None
        if not found.verdict.held:
            inputs = examiner.inputs(found.sound, self._inputs_seen())
            if name in {waiting.window for waiting in left}:
                estimated = self._estimate(examiner, inspector, name, found.sound, losses)
        seen = Verdicts(
            window=name,
            dates=dates_of(window.frame, self._spec.time, self._times),
            input=inputs,
            losses=tuple(losses),
            errors=tuple(errors),
            unknown=unknown,
            estimated=estimated,
        )
        end = Place(end=window.end, pending=(*away, *left)[-_PENDING_WINDOWS:])
        past = self._history_fold.read()
        decision = self._decide(seen, found, past)
        return WindowCheck(
            **dict(seen),
            pipeline=self._spec.name,
            facts=facts,
            known=past.entry,
            cursor=end.model_dump(mode="json"),
            rows=len(window.frame),
            champion=self._champion.name,
            base=self._champion.newest.version,
            decision=decision,
            labels=tuple(labels),
            why=self._explain(examiner, found.sound, seen),
            data=tuple(held),
            labels_missing=self._labels_missing(name, left, decision),
            refused=found.refused,
            memory=inspector.memory,
            feedback=self._feedback(examiner, window),
            suite_fault=self._expectations.fault,
            source_away=self._stream.away,
            at=self._clock(),
        )

    def _feedback(self, examiner: Examiner, window: Window) -> FeedbackSeen | None:
        """The labels that came up to a window's last row, and since the last look at them; their
        rows are sought in the windows that are remembered."""
        if "_time" not in window.frame.columns:
            return None
        until = (window.frame["_time"].max() - SLACK).to_pydatetime()
        looks = [c.feedback for c in self.recent if c.feedback is not None]
        after = looks[-1].until if looks else None
        if after is not None and until <= after:
            return FeedbackSeen(until=after)
        past = self._past()
        return self._stream.feedback(
            examiner.rule,
            after=after,
            until=until,
            since=past[0].start.segment if past else None,
        )

    def _errors(self, examiner: Examiner, due: Due, now: str) -> list[MemberErrors]:
        """Measure what the members of the version that answered a window got wrong; nothing, where
        that is of another mixture, or not there any more."""
        window = due.stretch.window
        asked = {check.window: check.champion for check in self.recent}
        version = self._version(asked.get(window, self._champion.name))
        if version is None or version.base.version != self._champion.base.version:
            return []
        return examiner.errors(due, version, windows_between(window, now))

    def _version(self, name: str) -> Champion | None:
        if name == self._champion.name:
            return self._champion
        try:
            return read_champion(self._store, read_manifest(self._store, self._spec.name, name))
        except NotFound:
            return None

    def _estimate(
        self,
        examiner: Examiner,
        inspector: Inspector,
        name: str,
        window: Window,
        losses: Sequence[LossVerdict],
    ) -> LossVerdict | None:
        """The loss that a window without labels is likely to have, by the newest that have them."""
        seen = [*losses, *(loss for check in self.history for loss in check.losses)]
        known = self._read(examiner, inspector, {loss.window for loss in seen})
        return examiner.estimate(name, window, known)

    def _read(
        self, examiner: Examiner, inspector: Inspector, windows: Collection[str]
    ) -> list[Due]:
        """The sound rows of the newest of these windows, as many as small models are fitted on."""
        count = ceil(head_span(self._window_rows) / self._window_rows)
        chosen = [stretch for stretch in self._past() if stretch.window in windows][-count:]
        known = [read_due(self._stream, stretch, examiner.rule) for stretch in chosen]
        return [one.take(inspector.sound_rows(one.stretch, one.frame)) for one in known]

    def _labels_missing(
        self, name: str, left: Sequence[PendingWindow], decision: Decision
    ) -> str | None:
        """Why a person is to see to the labels, where one is."""
        if decision.wants_labels:
            return decision.reason
        if not left:
            return None
        lags = [windows_between(loss.window, c.window) for c in self.history for loss in c.losses]
        lag = label_lag(self._spec, self._stream.source) - 1
        waited = windows_between(left[0].window, name)
        silence = told_of_silence(waited, lags, ceil(lag / self._window_rows), _PENDING_WINDOWS - 1)
        if silence is None:
            return None
        silent = in_words(left[0].window, {c.window: c.dates for c in self.recent})
        return f"no labels have come for {silent}, {silence}"

    def _record(self, seen: Verdicts) -> list[MemberErrors]:
        """What the members of this mixture have answered live, the oldest first; the newest windows
        that are remembered."""
        every = [*(errors for check in self.recent for errors in check.errors), *seen.errors]
        return [errors for errors in every if errors.first == self._champion.base.version]

    def _inputs_seen(self) -> list[InputVerdict]:
        return [check.input for check in self.history if check.input is not None]

    def _labels_seen(self) -> list[InputVerdict]:
        return [verdict for check in self.history for verdict in check.labels]

    def _explain(self, examiner: Examiner, window: Window, seen: Verdicts) -> Explanation | None:
        if seen.input is None or not seen.input.confirmed:
            return None
        return examiner.explain(window, [*self.history, seen])

    def _past(self) -> list[Stretch]:
        """Where the windows lie that were checked before, the oldest first."""
        places = [(check.window, Place.model_validate(check.cursor).end) for check in self.recent]
        if self.recent and window_number(self.recent[0].window) == 1:
            places = [("", self._beginning(self.recent[0].champion)), *places]
        return [
            Stretch(name, start, end)
            for (_, start), (name, end) in pairwise(places)
            if self._stream.holds(start, end)
        ]

    def _beginning(self, champion: str) -> Cursor:
        """Where the very first window began: behind what its champion was trained on."""
        lineage = read_manifest(self._store, self._spec.name, champion).lineage
        return Cursor(source_rows=self._source_rows(lineage.snapshot))

    def _place(self) -> Place:
        """Where the last check ended; rows of the source that the champion has seen are behind."""
        place = Place.model_validate(self._last.cursor) if self._last else Place(end=Cursor())
        rows = self._source_rows(self._champion.version.lineage.snapshot)
        rows = max(place.end.source_rows, rows)
        end = place.end.model_copy(update={"source_rows": rows})
        return place.model_copy(update={"end": end})

    def _source_rows(self, snapshot: str) -> int:
        return find_snapshot(self._store, self._spec.name, snapshot).source_rows

    def _decide(self, seen: Verdicts, found: Inspection, past: Past) -> Decision:
        if found.verdict.held:
            reason = f"data held: {found.verdict.reason}"
            return Decision(action="hold", ground="data", reason=reason)
        waiting = unanswered(self._store, self._spec.name, past.answered)
        if waiting is not None:
            asked = in_words(waiting.window, waiting.dates)
            reason = f"the heal that {asked} asked for has not been answered yet"
            return Decision(action="keep", ground="none", reason=reason, put_off=True)
        if past.challenger is not None:
            reason = f"{past.challenger} is on its way to take over ({past.stage})"
            return Decision(action="keep", ground="none", reason=reason, put_off=True)
        return decide(
            [*self.history, seen], self._record(seen), self._heals(seen, past), self._spec.policy
        )

    def _heals(self, seen: Verdicts, past: Past) -> HealRecord:
        """What became of earlier heals. After one that was undone on live traffic, corrections wait
        too: the same rows would bring the same one back."""
        since = None if past.answered is None else windows_between(past.answered, seen.window)
        return HealRecord(
            windows_since=since,
            retrain_windows=None if past.retrained is None else self._since(past.retrained, seen),
            windows=window_number(seen.window),
            undone=past.undone,
            standing=self._champion.mixture,
            costs=past.costs,
        )

    def _since(self, moment: datetime, seen: Verdicts) -> int:
        """Windows checked since a moment, the present one included."""
        if self.recent and self.recent[0].at <= moment:
            return 1 + sum(check.at > moment for check in self.recent)
        return window_number(seen.window) - windows_by(self._store, self._spec.name, moment)
