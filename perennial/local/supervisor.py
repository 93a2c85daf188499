"""The daemon that starts the parts in order, starts a dead one again, and ends them all."""

from __future__ import annotations

import logging
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import psutil

from perennial.errors import PerennialError, StackError
from perennial.local import logs, prefect_api
from perennial.local.backoff import Backoff
from perennial.local.ports import is_free
from perennial.local.processes import (
    ProcessId,
    end_all,
    end_group,
    has_exited,
    listens,
    signal_group,
    spawn,
    stack_processes,
)
from perennial.local.seaweed import write_private
from perennial.local.services import WORKER_TYPES, Plan, Service, plan
from perennial.local.state import PartState, Phase, StackFiles, StackState, WorkerKind

TICK = 0.1
PLANS = 3
READY_TIMEOUT = 180.0
GRACE = 30.0
QUICK_RUNS_END = 20.0
"""Seconds that a stop waits for runs that are about to end."""
LOG_CHECK = 5.0


logger = logging.getLogger(__name__)


class Stopped(Exception):
    """The supervisor was told to end."""


class PortTaken(Exception):
    """A port that was free when it was chosen is another program's now."""


@dataclass
class Child:
    """One part: its process, if any, and when it is due again."""

    service: Service
    log: Path
    process: subprocess.Popen[bytes] | None = None
    identity: ProcessId | None = None
    started: float = 0.0
    started_at: datetime | None = None
    due: float | None = None
    backoff: Backoff = field(default_factory=Backoff)
    ready: bool = False
    starts: int = 0
    last_exit: int | None = None

    def start(self, cwd: Path, now: float) -> None:
        """Start the process."""
        self.process = spawn(
            self.service.command,
            environment=self.service.environment,
            log=self.log,
            cwd=cwd,
        )
        with suppress(psutil.NoSuchProcess):
            self.identity = ProcessId.of(self.process.pid)
        self.started, self.started_at, self.due = now, datetime.now(UTC), None
        self.starts += 1

    def bury(self, now: float) -> None:
        """Note the death of the process, end what it left behind, and set when it is due again."""
        assert self.process is not None
        signal_group(self.process.pid, signal.SIGKILL)
        self.last_exit = self.process.wait()
        delay, self.backoff = self.backoff.after(now - self.started)
        self.process, self.identity, self.due = None, None, now + delay

    def fault(self) -> str | None:
        """Say why it is not ready; None when it is.

        What answers on its ports may be another stack's: it must be its own.
        """
        if self.process is None:
            return f"it ended with code {self.last_exit}"
        fault = self.service.check()
        if fault is None and not listens(self.process.pid, self.service.ports):
            return "another program listens on its port"
        return fault

    def state(self) -> PartState:
        """Describe it for ``stack.json``."""
        return PartState(
            name=self.service.name,
            title=self.service.title,
            url=self.service.url,
            health_url=self.service.health_url,
            log=self.log,
            process=self.identity,
            started_at=self.started_at if self.process else None,
            ready=self.ready,
            restarts=max(0, self.starts - 1),
            last_exit=self.last_exit,
        )


class Supervisor:
    """Runs one stack until it is told to stop. Single-threaded: it forks."""

    def __init__(
        self,
        files: StackFiles,
        project: Path,
        worker: WorkerKind,
        *,
        make_plan: Callable[[StackFiles, Path, WorkerKind, str], Plan] = plan,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._project = project
        self._worker: WorkerKind = worker
        self._clock = clock
        self._id = secrets.token_hex(8)
        self._make_plan = make_plan
        self._adopt_plan()
        self._phase: Phase = "starting"
        self._error: str | None = None
        self._pool_id: str | None = None
        self._stopping = False
        self._logs_due = 0.0

    def _adopt_plan(self) -> None:
        self._plan = self._make_plan(self._files, self._project, self._worker, self._id)
        self._children = {
            service.name: Child(service, self._files.logs / f"{service.name}.log")
            for service in self._plan.services
        }

    def run(self) -> None:
        """Start everything, then keep it alive until SIGTERM or SIGINT.

        Raises:
            StackError: a part did not become ready. Whatever was started has ended by then.
        """
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        signal.signal(signal.SIGINT, self._ask_to_stop)
        try:
            self._start_all()
            self._enter("up")
            while True:
                self._tick()
        except Stopped:
            if self._phase == "up":
                self._let_quick_runs_end()
            self._end_all("stopping")
            self._files.forget()
        except PerennialError as error:
            self._error = str(error)
            self._end_all("failed")
            raise

    def _let_quick_runs_end(self) -> None:
        """A run that is cut off stands in Prefect's list as crashed: none shall be by a stop."""
        logger.info("told to stop")
        try:
            prefect_api.let_quick_runs_end(str(self._plan.settings.prefect_address), QUICK_RUNS_END)
        except StackError as error:
            logger.warning("runs are not waited for: %s", error)

    def _ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _start_all(self) -> None:
        """Start every part; with other ports where another program was faster."""
        self._enter("starting")
        for _ in range(PLANS):
            try:
                return self._start_in_order()
            except PortTaken:
                self._end_children()
                self._plan.claims.release()
                self._adopt_plan()
        raise StackError("other programs take every port that was free: try again")

    def _start_in_order(self) -> None:
        """The store first: all need it. The pool before its worker: it may be of another type."""
        self._start("store")
        self._start("prefect")
        self._await_ready("store")
        write_private(self._files.environment, self._plan.environment)
        self._start("serving")
        self._start("alerts")
        self._await_ready("prefect")
        api_url = str(self._plan.settings.prefect_address)
        self._pool_id = prefect_api.ensure_pool(api_url, WORKER_TYPES[self._worker])
        self._start("worker")
        self._await_ready("serving")
        self._await_ready("alerts")
        self._await_ready("worker")

    def _start(self, name: str) -> None:
        self._children[name].start(self._project, self._clock())
        self._save()

    def _await_ready(self, name: str) -> None:
        child = self._children[name]
        deadline = self._clock() + READY_TIMEOUT
        fault: str | None = "it was never started"
        while fault is not None:
            self._tick()
            if child.process is None and not all(map(is_free, child.service.ports)):
                raise PortTaken
            fault = child.fault()
            if fault is not None and self._clock() > deadline:
                raise StackError(
                    f"the {child.service.title} is not ready after {READY_TIMEOUT:.0f} s: {fault}; "
                    f"its last words in {child.log}: {logs.tail(child.log)!r}"
                )
        child.ready = True
        self._save()

    def _tick(self) -> None:
        """Wait a moment, then see to whatever died, is due, or has grown."""
        time.sleep(TICK)
        if self._stopping:
            raise Stopped
        now = self._clock()
        changed = [child for child in self._children.values() if self._attend(child, now)]
        if changed:
            self._save()
        if now >= self._logs_due:
            self._logs_due = now + LOG_CHECK
            for child in self._children.values():
                logs.bound(child.log)

    def _attend(self, child: Child, now: float) -> bool:
        """Bury a dead child, start a due one; True when something changed."""
        if child.process is not None and has_exited(child.process):
            child.bury(now)
            assert child.due is not None
            told = (child.service.title, child.last_exit, child.due - now, child.log)
            logger.warning("the %s ended with code %s; started again in %.1f s; see %s", *told)
            return True
        if child.due is not None and now >= child.due:
            child.start(self._project, now)
            assert child.process is not None
            logger.info("the %s is started again (pid %d)", child.service.title, child.process.pid)
            return True
        return False

    def _end_all(self, phase: Phase) -> None:
        """End the parts, then whatever they left behind."""
        self._enter(phase)
        self._end_children()
        end_all(stack_processes(self._id), GRACE)

    def _end_children(self) -> None:
        """End the parts in the order opposite to their start."""
        for name in ("worker", "alerts", "serving", "prefect", "store"):
            child = self._children[name]
            child.due = None
            if child.process is not None:
                end_group(child.process, GRACE)
                child.process, child.identity = None, None
                self._save()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        logger.info("the stack is %s", phase)
        self._save()

    def _save(self) -> None:
        self._files.write_state(
            StackState(
                id=self._id,
                project=self._project,
                worker=self._worker,
                supervisor=ProcessId.of(psutil.Process().pid),
                phase=self._phase,
                error=self._error,
                moved=dict(self._plan.moved),
                pool_id=self._pool_id,
                parts=tuple(child.state() for child in self._children.values()),
            )
        )
