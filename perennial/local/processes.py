"""Child processes: started clean, named by pid and start time, ended as a whole group."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

STACK_ID = "PERENNIAL_STACK_ID"
"""Every process of a stack carries its id in this variable, however deep it was started."""

_PR_SET_PDEATHSIG = 1


class ProcessId(BaseModel):
    """A process that cannot be taken for a later one with the same pid."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> ProcessId:
        """Name a process that is alive.

        Raises:
            psutil.NoSuchProcess: it is gone.
        """
        return cls(pid=pid, started=start_mark(pid))

    def find(self) -> psutil.Process | None:
        """Return the process while it runs; None when it is gone or the pid is another's now."""
        try:
            process = psutil.Process(self.pid)
            same = start_mark(self.pid) == self.started
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


def start_mark(pid: int) -> float:
    """When a process started: on Linux in ticks since boot, which no change of the clock moves.

    Raises:
        psutil.NoSuchProcess: it is gone.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return float(psutil.Process(pid).create_time())
    # proc(5): the name in brackets may hold anything; starttime is the 22nd field, the 20th behind.
    return float(fields.rpartition(")")[2].split()[19])


def default_signals() -> None:
    """Undo what was inherited: a shell's background jobs ignore SIGINT, and so would children."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def spawn(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path, cwd: Path
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, appending to a log.

    It gets SIGTERM when this process ends, however it ends. For a caller without threads only:
    code runs between fork and exec.
    """
    with log.open("ab") as sink:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(request_death_signal, signal.SIGTERM, os.getpid()),  # noqa: PLW1509
        )


def request_death_signal(number: signal.Signals, parent: int) -> None:
    """Have the kernel send this process a signal when ``parent`` dies; no effect off Linux."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os._exit(1)


def end_group(leader: subprocess.Popen[bytes], grace: float) -> None:
    """End a child and its whole process group: SIGTERM, then SIGKILL after ``grace`` seconds."""
    if leader.returncode is None:
        signal_group(leader.pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while not has_exited(leader) and time.monotonic() < deadline:
            time.sleep(0.02)
        signal_group(leader.pid, signal.SIGKILL)
        leader.wait()


def has_exited(child: subprocess.Popen[bytes]) -> bool:
    """Tell whether a child has ended, leaving it unreaped: its pid and group stay its own."""
    if child.returncode is not None:
        return True
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, child.pid, options) is not None


def listens(pid: int, ports: Iterable[int]) -> bool:
    """Tell whether a process of ours itself listens on all of these TCP ports."""
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    listening = {c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN}
    return listening.issuperset(ports)


def signal_group(leader: int, number: signal.Signals) -> None:
    """Signal a process group that may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)


def stack_processes(stack_id: str) -> list[psutil.Process]:
    """Find every live process that was started, directly or not, by the stack with this id."""
    return [process for process in psutil.process_iter() if _carries(process, stack_id)]


def _carries(process: psutil.Process, stack_id: str) -> bool:
    try:
        return bool(process.environ().get(STACK_ID) == stack_id)
    except psutil.Error:  # gone, a zombie, or another user's
        return False


def end_all(processes: Iterable[psutil.Process], grace: float) -> None:
    """End processes by SIGTERM, then SIGKILL; psutil refuses a pid that is another's by now."""
    remaining = list(processes)
    for process in remaining:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(remaining, timeout=grace)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=grace)
