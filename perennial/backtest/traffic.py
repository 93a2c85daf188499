"""Requests to a pipeline in memory, and the rollout that they carry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.backtest.memory import A_ROW, BEGAN, MemoryFeed, MemoryLog
from perennial.backtest.stream import Recorded
from perennial.evaluation.targets import align_classes
from perennial.loop.takeover import Step
from perennial.loop.versions import Champion, answer
from perennial.registry import State, read_state
from perennial.rollout.observer import Observer
from perennial.rollout.stages import in_flight, is_same_step
from perennial.serving.router import Route, place
from perennial.spec import Rollout
from perennial.store.memory import MemoryStore

RUN = "backtest"
"""What the history names as the run that did something."""
_LOOKS = 20
"""At a rollout, a window."""
_FOR_EVER = timedelta(days=36_500)


class Traffic:
    """Answers rows by the version that the state names, and takes a rollout's steps.

    Args:
        versions: reads a version.
        clock: tells the time of the row that was asked last.
    """

    def __init__(
        self,
        store: MemoryStore,
        recorded: Recorded,
        versions: Callable[[str], Champion],
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._recorded = store, recorded
        self._versions, self._clock = versions, clock
        self._rollout = _without_hours(recorded.spec.rollout)
        self._log = MemoryLog(recorded)
        self._watched: tuple[State, Observer] | None = None
        self.row = recorded.where.first
        """The row behind the one that was asked last."""
        rows = len(recorded.frame) - self.row
        self.served = np.zeros((rows, recorded.width), dtype=np.float32)
        """What was answered to all rows behind the first fraction (rows, width)."""

    def _state(self) -> State:
        return read_state(self._store, self._recorded.spec.name).state

    def answer(self, low: int, high: int) -> None:
        """Let the rows from ``low`` to ``high`` - 1 be answered, and watch a rollout meanwhile."""
        state, first = self._state(), self._recorded.where.first
        if not in_flight(state):
            self.row = high
            rows = self._recorded.asked.iloc[low:high]
            self.served[low - first : high - first] = self._output(str(state.champion), rows)
            return
        step = max(1, (high - low) // _LOOKS)
        for begin in range(low, high, step):
            self.row = min(begin + step, high)
            self._ask(begin, self.row)
            self._watch()

    def _output(self, version: str, rows: pd.DataFrame) -> NDArray[Any]:
        """A version's answers, in all of the stream's classes."""
        model = self._versions(version).served
        output = self._raw(version, rows)
        return align_classes(output, model.signature.classes, self._recorded.classes)

    def _raw(self, version: str, rows: pd.DataFrame) -> NDArray[Any]:
        return answer(self._versions(version).served, rows)

    def _ask(self, low: int, high: int) -> None:
        """Let rows be answered as the state says, and log them."""
        state, rows = self._state(), self._recorded.asked.iloc[low:high].reset_index(drop=True)
        theirs = np.zeros(len(rows), dtype=bool)
        places = np.zeros(len(rows), dtype=np.int64)
        if state.stage == "canary":
            routes = [Route(place(n, str(state.challenger)), state.weight) for n in rows["_id"]]
            theirs = np.array([route.to_challenger for route in routes])
            places = np.array([route.place >> 1 for route in routes], dtype=np.int64)
        cast = [(str(state.champion), "champion", ~theirs)]
        if state.challenger is not None:
            cast.append((state.challenger, "challenger", theirs))
        if state.stage == "shadow":
            cast.append((str(state.challenger), "shadow", np.ones(len(rows), dtype=bool)))
        for version, role, mine in cast:
            if not mine.any():
                continue
            asked = rows[mine]
            output = self._raw(version, asked)
            if role != "shadow":
                signature = self._versions(version).served.signature
                at = np.flatnonzero(mine) + low - self._recorded.where.first
                self.served[at] = align_classes(output, signature.classes, self._recorded.classes)
            logged = asked.assign(
                _time=pd.Timestamp(BEGAN + high * A_ROW),
                _version=version,
                _role=role,
                _latency=0,
                _output=list(output),
                _key=places[mine],
                _weight=state.weight,
            )
            self._log.rows.append((BEGAN + high * A_ROW, logged.reset_index(drop=True)))

    def tell(self, window: int) -> None:
        """Note the labels that came with the end of a window."""
        known = [self._recorded.where.labelled(done) for done in (window, window + 1)]
        if known[0] < known[1] and in_flight(self._state()):
            self._log.told.append((known[0], known[1]))
            self._watch()

    def _watch(self) -> None:
        """Take the steps of a rollout that what was seen allows."""
        while in_flight(state := self._state()):
            evidence = self._observer_of(state).look(self._clock())
            step = Step.of(evidence, self._rollout, state)
            if step.waits:
                return
            step.take(self._store, state, self._rollout, by=RUN, clock=self._clock)
            self.begin()

    def _observer_of(self, state: State) -> Observer:
        """The observer of this step, which goes on from what it has seen."""
        if self._watched is None or not is_same_step(state, self._watched[0]):
            feed = MemoryFeed(self._log)
            observer = Observer(
                self._store,
                self._recorded.spec,
                state,
                lambda name: self._versions(name).served,
                feed,
            )
            self._watched = state, observer
        return self._watched[1]

    def begin(self) -> None:
        """Take the first step of a version that was registered."""
        state = self._state()
        if state.stage == "registered":
            self._log = MemoryLog(self._recorded)
            Step.first().take(self._store, state, self._rollout, by=RUN, clock=self._clock)


def _without_hours(rollout: Rollout) -> Rollout:
    """The same stages, each until it has the rows and labels that it asks for; who is asked for
    approval says yes."""
    stages = ("shadow", "canary", "bake")
    declared = {name: getattr(rollout, name) for name in stages}
    changed = {
        name: stage.model_copy(update={"time": _FOR_EVER})
        for name, stage in declared.items()
        if stage is not None
    }
    return rollout.model_copy(update={**changed, "approval": "automatic"})
