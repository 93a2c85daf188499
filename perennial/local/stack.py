"""Bring the embedded stack up, look at it, and end it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.errors import StackError
from perennial.local import forms, logs, prefect_api
from perennial.local.deploy import deploy, is_deployed
from perennial.local.processes import end_all, stack_processes
from perennial.local.services import WORKER_NAME, answers
from perennial.local.state import PartState, StackFiles, StackState, WorkerKind
from perennial.registry import declare
from perennial.settings import DEFAULT_DIR, Settings, read_env_file
from perennial.store import open_store

PROJECT = Path(__file__).resolve().parents[2]
STOP_TIMEOUT = 150.0
POLL = 0.1

Progress = Callable[[str], None]


@dataclass(frozen=True)
class RunningStack:
    """A stack that is up.

    Attributes:
        settings: addresses and keys, as every part has them.
        urls: where each part with an address listens: store, prefect, serving, alerts.
        pids: the supervisor's and each part's process.
        moved: parts whose usual port is taken: the usual one, and the one in use.
        started: False when it was up before.
    """

    settings: Settings
    urls: dict[str, str]
    pids: dict[str, int]
    moved: dict[str, tuple[int, int]]
    started: bool


class PartStatus(BaseModel):
    """One part as it is now."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    running: bool
    healthy: bool
    since: AwareDatetime | None
    restarts: int
    url: str | None
    pid: int | None
    fault: str | None


class StackStatus(BaseModel):
    """The stack as it is now; no parts where none is up."""

    model_config = ConfigDict(frozen=True)

    up: bool
    directory: Path
    supervisor: int | None = None
    parts: tuple[PartStatus, ...] = ()
    alarms: tuple[str, ...] = ()
    """What a person must see of the pipelines, where somebody has looked."""


def is_up(directory: Path = DEFAULT_DIR) -> bool:
    """Tell whether a supervisor runs this directory's stack and has brought it up."""
    files = StackFiles(directory)
    if not files.is_supervised():
        return False
    state = files.read_state()
    return state is not None and state.phase == "up"


def ensure_up(
    directory: Path = DEFAULT_DIR,
    *,
    worker: WorkerKind | None = None,
    project: Path = PROJECT,
    progress: Progress | None = None,
    auth: bool | None = None,
) -> RunningStack:
    """Start the stack unless it is up, and have its deployments applied.

    Args:
        directory: where its data, logs and state lie; made where it is missing.
        worker: how flow runs are started: forked from a warm process, or each by a new Python;
            None: as the stack that is up does it, else forked.
        project: the folder of prefect.yaml, flows and tasks.
        progress: called with a line for every step that begins.
        auth: have Prefect ask for a password, which the first start makes and the directory
            keeps; None: as the stack that is up does it, else it asks.

    Raises:
        StackError: a part cannot start, a stack with another kind of worker or of access is up,
            or the deployments are refused.
    """
    announce = progress or (lambda _: None)
    files = StackFiles(directory)
    files.make()
    started = None
    if not files.is_supervised():
        started = _start_supervisor(files, project, worker or "fork", auth=auth is not False)
    state = _await_up(files, started, announce)
    if worker not in (None, state.worker):
        raise StackError(
            f"a stack with the {state.worker} worker is up in {files.directory}: "
            "run 'perennial down' first"
        )
    settings = Settings.from_env(read_env_file(files.environment))
    if auth not in (None, settings.prefect_auth is not None):
        raise StackError(
            f"the stack that is up in {files.directory} asks for "
            f"{'no password' if auth else 'a password'}: run 'perennial down' first"
        )
    assert state.pool_id is not None
    if not is_deployed(files, state.project, state.pool_id):
        announce("applying prefect.yaml")
        deploy(files, state.project, state.pool_id)
    _offer_pipelines(settings)
    return RunningStack(
        settings=settings,
        urls={part.name: part.url for part in state.parts if part.url},
        pids={
            "supervisor": state.supervisor.pid,
            **{part.name: part.process.pid for part in state.parts if part.process},
        },
        moved=state.moved,
        started=started is not None,
    )


def offer_pipelines(directory: Path = DEFAULT_DIR, *, made: Path | None = None) -> bool:
    """Have Prefect's forms offer every pipeline that is declared by now; False: no stack is up.

    Args:
        made: folder of a pipeline that was declared just now; where the stack's runs would not find
            it by name it is put in force, so that they do.

    Raises:
        StackError: the Prefect server refuses.
    """
    if not is_up(directory):
        return False
    settings = Settings.from_env(read_env_file(StackFiles(directory).environment))
    if made is not None and made.resolve().parent not in settings.pipeline_folders:
        declare(open_store(settings), made)
    _offer_pipelines(settings)
    return True


def _offer_pipelines(settings: Settings) -> None:
    names = forms.pipeline_names(open_store(settings), settings.pipeline_folders)
    prefect_api.offer_pipelines(str(settings.prefect_address), names, only=True)


def stop(directory: Path = DEFAULT_DIR) -> bool:
    """End exactly what `ensure_up` started; True when there was something to end."""
    files = StackFiles(directory)
    state = files.read_state()
    while state is None and files.is_supervised():  # it has just begun
        time.sleep(POLL)
        state = files.read_state()
    if state is None:
        return False
    supervisor = state.supervisor.find() if files.is_supervised() else None
    if supervisor is not None:
        _end_supervisor(supervisor)
    end_all(stack_processes(state.id), grace=10)
    files.forget()
    return True


def status(directory: Path = DEFAULT_DIR) -> StackStatus:
    """Look at every part: its process, and what its health address answers."""
    files = StackFiles(directory)
    state = files.read_state() if files.is_supervised() else None
    if state is None:
        return StackStatus(up=False, directory=files.directory)
    return StackStatus(
        up=state.phase == "up",
        directory=files.directory,
        supervisor=state.supervisor.pid,
        parts=tuple(_look_at(part, files) for part in state.parts),
    )


def _look_at(part: PartState, files: StackFiles) -> PartStatus:
    running = part.process is not None and part.process.find() is not None
    if running:
        fault = _fault(part, files)
    else:
        fault = f"not running; last exit code {part.last_exit}: see {part.log}"
    return PartStatus(
        name=part.name,
        title=part.title,
        running=running,
        healthy=running and fault is None,
        since=part.started_at,
        restarts=part.restarts,
        url=part.url,
        pid=part.process.pid if running and part.process else None,
        fault=fault,
    )


def _fault(part: PartState, files: StackFiles) -> str | None:
    if part.health_url is not None:
        return answers(part.health_url)
    environment = read_env_file(files.environment)
    if not environment:
        return "the stack is not up yet"
    return prefect_api.worker_fault(
        str(Settings.from_env(environment).prefect_address), WORKER_NAME
    )


def _start_supervisor(
    files: StackFiles, project: Path, worker: WorkerKind, *, auth: bool
) -> subprocess.Popen[bytes]:
    """End what a killed supervisor may have left, then start a new one."""
    left = files.read_state()
    if left is not None:
        end_all(stack_processes(left.id), grace=10)
    files.forget()
    with (files.logs / "supervisor.log").open("wb") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "perennial.local", "--dir", str(files.directory)),
                *("--project", str(project.resolve()), "--worker", worker),
                "--auth" if auth else "--no-auth",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _await_up(
    files: StackFiles, started: subprocess.Popen[bytes] | None, progress: Progress
) -> StackState:
    announced: set[str] = set()
    state = files.read_state()
    if started is None and state is not None and state.phase == "up":
        return state
    while True:
        alive = (started is not None and started.poll() is None) or files.is_supervised()
        state = files.read_state()
        if state is not None and state.error is not None and not alive:
            raise StackError(f"the stack did not start: {state.error}")
        if not alive or (state is not None and state.phase == "stopping"):
            words = logs.tail(files.logs / "supervisor.log")
            raise StackError(f"the stack was ended before it was up; see {files.logs}; {words}")
        for part in state.parts if state else ():
            if part.ready and part.name not in announced:
                announced.add(part.name)
                progress(f"{part.title} is ready")
        if state is not None and state.phase == "up":
            return state
        time.sleep(POLL)


def _end_supervisor(supervisor: psutil.Process) -> None:
    supervisor.terminate()
    try:
        supervisor.wait(STOP_TIMEOUT)
    except psutil.TimeoutExpired:
        supervisor.kill()
        supervisor.wait(STOP_TIMEOUT)
