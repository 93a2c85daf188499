"""Play a recorded stream against the running stack, window by window."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from perennial.datasets.log_reader import list_segments
from perennial.demo.client import Client, Tally
from perennial.demo.plan import Plan
from perennial.demo.prefect_client import Deployments
from perennial.drift.record import Check
from perennial.errors import PerennialError, StackError
from perennial.registry import (
    declare,
    find_declaration,
    list_versions,
    read_history,
    read_state,
)
from perennial.registry.state import State
from perennial.settings import Settings
from perennial.store import Store, layout

RETRAIN = "retrain/retrain"
MONITOR = "monitor/monitor"
_RUN_TIMEOUT = 120.0
_HEAL_TIMEOUT = 600.0
_ASK_AGAIN = 15.0
_ATTEMPTS = 5
_CHECKS = 10
_LOOK_TIMEOUT = 1800.0
_ANSWERS = {"Registered", "Refused", "Held", "Failed"}
_POLL = 0.1


class Narrator(Protocol):
    """Told what happens while it happens."""

    def step(self, text: str) -> None:
        """Something that takes a while begins."""

    def rows(self, window: int, done: int, total: int) -> None:
        """Requests of a window (counted from 1) that have been answered."""

    def broken(self, window: int, column: str) -> None:
        """The demo breaks the pipe in a window: a column holds one value."""

    def checked(self, window: int, check: Check) -> None:
        """The monitor has judged a window."""

    def healed(self, window: int, version: str | None, why_not: str | None) -> None:
        """A retrain has answered: the champion that stands now, and why it is no new one where a
        candidate was refused."""


@dataclass(frozen=True)
class Played:
    """What a demo's traffic came to."""

    tally: Tally
    seconds: float


class Demo:
    """One demo on a running stack."""

    def __init__(self, plan: Plan, settings: Settings, store: Store, narrator: Narrator) -> None:
        if settings.server_url is None or settings.prefect_api_url is None:
            raise StackError("the stack has no inference server or no Prefect server")
        self._plan = plan
        self._store = store
        self._narrator = narrator
        self._name = plan.spec.name
        self._client = Client(settings.server_url, self._name)
        self._deployments = Deployments(str(settings.prefect_address))

    def play(self) -> Played:
        """Train version 1, then send every window, its labels one window later.

        Raises:
            StackError: a part of the stack does not do its work in time.
            PerennialError: trainings fail.
        """
        started = time.monotonic()
        clear_earlier(self._store, self._name)
        declare(self._store, self._plan.folder, demo=True)
        try:
            self._train_first()
            for window in range(self._plan.cut.windows):
                self._play_window(window)
            self._client.feedback(self._plan.truths(self._plan.cut.windows - 1))
            self._await_log()
        finally:
            self._client.close()
            self._deployments.close()
        return Played(self._client.tally, time.monotonic() - started)

    def _train_first(self) -> None:
        self._narrator.step(f"training version 1 on {self._plan.cut.first:,} rows")
        parameters = {"pipeline": self._name, "reason": "the first version"}
        state = None
        for _ in range(_ATTEMPTS):
            run = self._deployments.start(RETRAIN, parameters)
            state = self._deployments.wait(run, timeout=_HEAL_TIMEOUT)
            if state is not None and state["name"] in _ANSWERS:
                break
            # It crashed with its worker, or waits for the lease of one that did.
            time.sleep(_ASK_AGAIN)
        if not list_versions(self._store, self._name):
            raise PerennialError(f"version 1 of {self._name} was not registered: {_said(state)}")
        self._wait_for_champion("version 1 to answer", lambda state: state.champion is not None)

    def _wait_for_champion(self, what: str, met: Callable[[State], bool]) -> None:
        """Wait until the state is as wanted and its champion answers requests.

        Retrain and rollout are started by the automations. The monitor runs again now and then, as
        its schedule would, and repeats an event that came to nothing.
        """
        asked = time.monotonic()

        def settled() -> bool:
            nonlocal asked
            state = read_state(self._store, self._name).state
            if state.champion is not None and state.challenger is None and met(state):
                return self._client.serves(state.champion)
            if time.monotonic() - asked > _ASK_AGAIN:
                asked = time.monotonic()
                self._give_up_on_failures()
                self._deployments.start(MONITOR, {"pipeline": self._name})
            return False

        self._wait(what, settled, _HEAL_TIMEOUT)

    def _give_up_on_failures(self) -> None:
        """End the demo where the retrain fails each time: no patience will mend that."""
        states = self._deployments.newest_states(RETRAIN, _ATTEMPTS)
        if len(states) == _ATTEMPTS and all(state["type"] == "FAILED" for state in states):
            raise PerennialError(f"the retrain of {self._name} keeps failing: {_said(states[0])}")

    def _play_window(self, window: int) -> None:
        low, high = self._plan.rows(window)
        broken = self._plan.broken
        if broken is not None and broken.window == window:
            self._narrator.broken(window + 1, broken.column)
        for done, (name, fields) in enumerate(self._plan.requests(window), start=1):
            self._client.predict(name, fields)
            self._narrator.rows(window + 1, done, high - low)
        if window > 0:
            self._client.feedback(self._plan.truths(window - 1))
        self._await_log()
        check = self._check(window)
        self._narrator.checked(window + 1, check)
        if check.decision.action == "heal":
            self._await_heal(window)

    def _check(self, window: int) -> Check:
        """Run the monitor's deployment until it has judged the window."""
        key = layout.check(self._name, layout.window_name(window + 1))
        state, tries, deadline = None, 0, time.monotonic() + _LOOK_TIMEOUT
        while tries < _CHECKS and time.monotonic() < deadline:
            run = self._deployments.start(MONITOR, {"pipeline": self._name})
            state = self._deployments.wait(run, timeout=_RUN_TIMEOUT)
            found = self._store.find(key)
            if found is not None:
                return Check.model_validate_json(found.data)
            # One that is skipped found another at work, which is waited for.
            tries += state is not None and state["name"] != "Skipped"
            time.sleep(1.0)
        raise StackError(
            f"the monitor has not judged window {window + 1} in {tries} runs; {_said(state)}"
        )

    def _await_heal(self, window: int) -> None:
        wanted = layout.window_name(window + 1)
        self._wait_for_champion(
            f"a retrain to answer window {window + 1}",
            lambda state: (state.answered or "") >= wanted,
        )
        champion = read_state(self._store, self._name).state.champion
        self._narrator.healed(window + 1, champion, self._why_not(wanted))

    def _why_not(self, window: str) -> str | None:
        """Why the candidate that answered a window was refused; None: it was not."""
        cause = layout.check(self._name, window)
        refused = [
            entry.reason
            for entry in read_history(self._store, self._name)
            if entry.event == "version.refused" and entry.cause == cause
        ]
        return refused[-1] if refused else None

    def _await_log(self) -> None:
        """Wait until the store holds every answered request and every label."""

        def arrived(prefix: str, rows: int) -> bool:
            return sum(s.rows for s in list_segments(self._store, prefix)) >= rows

        tally = self._client.tally
        self._wait(
            "the log to reach the store",
            lambda: (
                arrived(layout.prediction_log(self._name), tally.answered)
                and arrived(layout.feedback_log(self._name), tally.labels)
            ),
            _RUN_TIMEOUT,
        )

    def _wait(self, what: str, met: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not met():
            if time.monotonic() > deadline:
                raise StackError(f"waited {timeout:.0f} s for {what}; see .perennial/logs")
            time.sleep(_POLL)


def _said(state: dict[str, Any] | None) -> str:
    return "the run did not end" if state is None else f"{state['name']}: {state['message']}"


def clear_earlier(store: Store, name: str) -> None:
    """Remove what an earlier demo of this pipeline left in the store.

    Raises:
        StackError: the pipeline has versions that no demo made.
    """
    known = find_declaration(store, name)
    if (known is None or not known.demo) and list_versions(store, name):
        raise StackError(
            f"pipeline {name} has versions that no demo made: play the demo in another stack, "
            "with --dir"
        )
    for info in list(store.scan(f"{name}/")):
        store.delete(info.key)
