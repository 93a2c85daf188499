"""The warm process: imports what flows need, then forks a child a flow run.

It has one thread and no event loop, so that a fork copies a consistent process. The worker holds
the other end of its socket: when that closes, the worker is gone, and the children are ended.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import runpy
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from worker.engine import use_imported_flow
from worker.priming import prime
from worker.protocol import Exited, Fork, Forked, Ready, Refused

_PR_SET_PDEATHSIG = 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SETTINGS_FILES = (".env", "prefect.toml", "pyproject.toml")
_OF_RUN = "PREFECT__"


def main() -> None:
    """Serve forks until the worker is gone; in a child, run its flow."""
    parser = argparse.ArgumentParser(prog="python -m worker.fork_server", description=__doc__)
    parser.add_argument("--channel", type=int, required=True, help="descriptor of the socket")
    parser.add_argument("--grace", type=float, required=True, help="seconds from TERM to KILL")
    parser.add_argument("modules", nargs="*", help="what to import before the first fork")
    arguments = parser.parse_args()
    # The worker decides when this process ends: a signal to its whole group is not meant for it.
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    started = time.monotonic()
    failed = dict(preload(arguments.modules))
    prime()
    gc.collect()
    gc.freeze()  # what is shared with the children is not touched by their collections
    with socket.socket(fileno=arguments.channel) as channel:
        server = ForkServer(channel, arguments.grace)
        seconds = round(time.monotonic() - started, 3)
        server.send(Ready(seconds=seconds, threads=count_threads(), failed=failed))
        job = server.serve()
    if job is not None:
        end(exit_code(run_flow, job, configured=server.is_configured_for(job)))


def preload(modules: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Import modules; yield those that cannot be, with the reason: their flows will say more."""
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            yield module, f"{type(error).__name__}: {error}"


class ForkServer:
    """Answers fork requests from one socket and reports how the children end."""

    def __init__(self, channel: socket.socket, grace: float) -> None:
        self._channel = channel
        self._grace = grace
        self._pending = b""
        self._children: set[int] = set()
        self._parent = os.getpid()
        self._configured: Mapping[str, str] | None = None

    def serve(self) -> Fork | None:
        """Return a child's job in the child; None in the server, when the worker is gone."""
        wake_reader, wake_writer = socket.socketpair()
        wake_reader.setblocking(False)
        wake_writer.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake_writer.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector, wake_reader, wake_writer:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(wake_reader, selectors.EVENT_READ)
            while True:
                selector.select()
                with contextlib.suppress(BlockingIOError):
                    wake_reader.recv(4096)
                self._reap()
                requests = self._receive()
                if requests is None:
                    self._end_children()
                    return None
                for request in requests:
                    self._configure(request)
                    if self._fork(request):
                        return request

    def is_configured_for(self, job: Fork) -> bool:
        """Whether a child of this server, forked now, has Prefect's settings for a job already."""
        return self._configured is not None and self._configured == shaping(job)

    def send(self, message: Ready | Forked | Refused | Exited) -> None:
        """Tell the worker; one that is gone is noticed by `serve`."""
        with contextlib.suppress(BrokenPipeError):
            self._channel.sendall(message.line())

    def _receive(self) -> list[Fork] | None:
        """Take the requests that have come; None when the worker has closed its end."""
        try:
            data = self._channel.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            return None
        if not data:
            return None
        *lines, self._pending = (self._pending + data).split(b"\n")
        return [Fork.model_validate_json(line) for line in lines]

    def _configure(self, request: Fork) -> None:
        """Read settings and set up the logs for a child, unless they are as the last one's.

        It takes a tenth of a second, which every child would spend again. Nothing is logged here:
        that would start a thread.
        """
        wanted = shaping(request)
        if wanted == self._configured or "prefect.engine" not in sys.modules:
            return
        home = Path.cwd()
        try:
            configure(request)
        except Exception:  # the child will meet it again, and can say so
            self._configured = None
        else:
            self._configured = wanted
        finally:
            os.chdir(home)

    def _fork(self, request: Fork) -> bool:
        """Fork; True in the child."""
        threads = count_threads()
        if threads > 1:
            reason = f"the fork server has {threads} threads: a forked child could hang"
            self.send(Refused(request=request.request, reason=reason))
            return False
        try:
            pid = os.fork()
        except OSError as error:
            self.send(Refused(request=request.request, reason=f"cannot fork: {error}"))
            return False
        if pid == 0:
            self._become_child()
            return True
        self._children.add(pid)
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)  # the child does it too: whoever comes first
        self.send(Forked(request=request.request, pid=pid))
        return False

    def _become_child(self) -> None:
        """A group and signals of its own, and no life without the server."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (*_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != self._parent:
            os._exit(1)

    def _reap(self) -> None:
        for pid in list(self._children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self._children.discard(pid)
                self.send(Exited(pid=pid, code=os.waitstatus_to_exitcode(status)))

    def _end_children(self) -> None:
        """SIGTERM lets a flow report that it crashed; what does not end by it gets SIGKILL."""
        self._signal_children(signal.SIGTERM)
        deadline = time.monotonic() + self._grace
        while self._children and time.monotonic() < deadline:
            time.sleep(0.05)
            self._reap()
        self._signal_children(signal.SIGKILL)

    def _signal_children(self, number: signal.Signals) -> None:
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)


def count_threads() -> int:
    """Count this process's threads, those of C libraries too."""
    return len(list(Path("/proc/self/task").iterdir()))


def shaping(job: Fork) -> dict[str, str] | None:
    """What shapes Prefect's settings and logs in a job; None: a file in its folder does, too."""
    if any((Path(job.directory) / name).exists() for name in _SETTINGS_FILES):
        return None
    names = (n for n in job.environment if n.startswith("PREFECT_") and not n.startswith(_OF_RUN))
    return {name: job.environment[name] for name in sorted(names)}


def configure(job: Fork) -> None:
    """Take over a job's environment and folder, and what Prefect makes of them."""
    import prefect.context
    from prefect.logging.configuration import setup_logging

    os.environ.clear()
    os.environ.update(job.environment)
    os.chdir(job.directory)
    prefect.context.refresh_global_settings_context()
    setup_logging()


def run_flow(job: Fork, *, configured: bool) -> None:
    """Do in this forked child what ``python -m prefect.engine`` does in a new process.

    Args:
        configured: whether the server has read the settings already.
    """
    if configured:
        os.environ.clear()
        os.environ.update(job.environment)
        os.chdir(job.directory)
    if not job.stream_output:
        silence()
    if not configured:
        configure(job)
    reseed()
    if job.place is not None:
        os.chdir(job.place)
        use_imported_flow()
    sys.argv = ["prefect.engine"]
    # It stands in sys.modules from the imports; running it again as the main module is meant.
    sys.modules.pop("prefect.engine", None)
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)


def exit_code(run: Callable[..., None], *arguments: Any, **more: Any) -> int:
    """Call what a program consists of, and return the exit code that Python would give it."""
    try:
        run(*arguments, **more)
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(error.code + "\n")
            return 1
        return int(error.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def end(code: int) -> NoReturn:
    """End this child with all that is due at an end, but without taking every object apart: that
    would first copy each page that it shares with the server."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def silence() -> None:
    """Send this process's output nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)


def reseed() -> None:
    """Give this child random numbers of its own where the library does not see to it."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].seed()


if __name__ == "__main__":
    main()
