"""The process that owns a server: its socket, its workers, and the way to the store.

Workers inherit their listening sockets, so that connections wait rather than fail while a worker
that was killed is started anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from perennial.errors import StackError
from perennial.serving.agent import Agent
from perennial.serving.auth import FILE_VARIABLE, Tokens
from perennial.serving.garbage import collect_seldom
from perennial.serving.liveness import is_alive, make_lock
from perennial.serving.metrics import SUFFIX, agent_metrics
from perennial.serving.options import ServingOptions
from perennial.serving.paths import ServerPaths
from perennial.settings import Settings
from perennial.store import open_store

logger = logging.getLogger(__name__)

_TICK = 0.1
_RESTART_PAUSE = 1.0
_SHORT_LIFE = 5.0
_BIND_PATIENCE = 15.0
_FLUSH_PATIENCE = 3.0
_BACKLOG = 2048


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    started: float


class Server:
    """A running server.

    Args:
        settings: where the store is.
        sockets: listening; one worker each.
        directory: the server's own; see `perennial.serving.paths`.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: list[socket.socket],
        directory: Path,
        options: ServingOptions,
    ) -> None:
        self._paths = ServerPaths(directory)
        self._sockets = sockets
        self._options = options
        self._metrics = agent_metrics()
        store = open_store(settings, retries=1, timeout=10.0)
        by = f"server {socket.gethostname()}:{sockets[0].getsockname()[1]}"
        self._agent = Agent(store, self._paths, options, self._metrics, by)
        self._children: list[_Child | None] = [None] * len(sockets)
        self._stop = threading.Event()

    def stop(self, *_: object) -> None:
        """Ask `run` to end; a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Serve until `stop`: then finish what was taken, and upload the log."""
        self._forget_old_metrics()
        self._agent.follow()
        collect_seldom()
        self._agent.start()
        try:
            while not self._stop.is_set():
                self._start_missing()
                self._stop.wait(_TICK)
        finally:
            self._end_workers()
            self._agent.stop()
            self._flush()

    def _forget_old_metrics(self) -> None:
        for path in self._paths.run.glob(f"*{SUFFIX}"):
            path.unlink()

    def _start_missing(self) -> None:
        for index, child in enumerate(self._children):
            if child is None:
                self._children[index] = self._start_worker(index)
            elif (code := child.process.poll()) is not None:
                logger.error("worker %d ended with %d and is started anew", index, code)
                self._metrics.add("perennial_worker_restarts_total")
                if time.monotonic() - child.started < _SHORT_LIFE:
                    self._stop.wait(_RESTART_PAUSE)
                self._children[index] = None if self._stop.is_set() else self._start_worker(index)

    def _start_worker(self, index: int) -> _Child | None:
        """Start a worker; None where the system does not allow it now."""
        name = secrets.token_hex(6)
        sock = self._sockets[index].fileno()
        try:
            lock = make_lock(self._paths.locks, name)
            command = [sys.executable, "-m", "perennial.serving.worker"]
            command += ["--socket", str(sock), "--name", name]
            command += ["--dir", str(self._paths.directory), "--parent", str(os.getpid())]
            command += ["--options", msgspec.json.encode(self._options).decode()]
            try:
                process = subprocess.Popen(
                    command,
                    env=of_a_worker(os.environ),
                    pass_fds=(sock, lock),
                    stdin=subprocess.DEVNULL,
                )
            finally:
                os.close(lock)
        except OSError as error:
            logger.error("worker %d cannot be started now: %s", index, error)
            return None
        return _Child(process, time.monotonic())

    def _end_workers(self) -> None:
        running = [child.process for child in self._children if child is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + self._options.drain + 5.0
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.error("worker %d does not end and is killed", process.pid)
                process.kill()
                process.wait()

    def _flush(self) -> None:
        """Upload what the workers left; where the store is away it waits for the next start."""
        deadline = time.monotonic() + _FLUSH_PATIENCE
        while not self._agent.upload() and time.monotonic() < deadline:
            time.sleep(_TICK)


_OURS = ("AWS_", "PERENNIAL_", "PREFECT_", "WEED_")
_OF_A_WORKER = ("PERENNIAL_TOKENS", "PERENNIAL_TOKENS_FILE", "PERENNIAL_STACK_ID")


def of_a_worker(environ: Mapping[str, str]) -> dict[str, str]:
    """A worker reads what strangers send, and talks to nobody else: of all keys it knows its tokens
    alone."""
    return {
        name: value
        for name, value in environ.items()
        if name in _OF_A_WORKER or not name.startswith(_OURS)
    }


def serve(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    directory: Path = Path(".perennial/serving"),
    workers: int = 1,
    options: ServingOptions | None = None,
) -> None:
    """Serve all pipelines of the bucket until SIGTERM or SIGINT.

    Must be called in the main thread.

    Args:
        settings: where the store is.
        host: address to listen on.
        port: 0 takes a free one; it is printed.
        directory: keeps models and log over restarts; made where it is missing.
        workers: processes that answer requests.
        options: limits and intervals; None: from the environment.

    Raises:
        StackError: the port or the directory is taken, or an option makes no sense.
    """
    options = options or ServingOptions.from_env(os.environ)
    _refuse_open_door(host)
    paths = ServerPaths(directory.absolute())
    paths.make()
    with _held(paths.lock), _listening(host, port, workers, paths.locks) as sockets:
        server = Server(settings, sockets, paths.directory, options)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.stop)
        logger.info("listening on http://%s:%d", host, sockets[0].getsockname()[1])
        server.run()


def _refuse_open_door(host: str) -> None:
    """See that only this machine can reach a server without tokens."""
    if Tokens.from_env(os.environ) is not None:
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise StackError(
            f"without tokens the server listens on loopback only, not on {host}: "
            f"set {FILE_VARIABLE}, or use 127.0.0.1"
        )
    logger.info("no tokens are configured: listening on loopback only, everybody there may ask")


@contextlib.contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold a directory against other servers."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                f"{lock.parent} is used by another server: end it, or give --dir another folder"
            ) from None
        yield


@contextlib.contextmanager
def _listening(host: str, port: int, count: int, locks: Path) -> Iterator[list[socket.socket]]:
    """Listen by one socket a worker; workers of a server that was killed may leave the port first.

    The system spreads new connections over the sockets. They are held here too, so that those that
    wait for a worker that was killed are taken by the one that follows it.
    """
    deadline = time.monotonic() + _BIND_PATIENCE
    while True:
        try:
            sockets = _bind_all(host, port, count)
            break
        except OSError as error:
            if time.monotonic() > deadline or not any(map(is_alive, locks.iterdir())):
                reason = f"cannot listen on {host}:{port}: {error.strerror}"
                raise StackError(f"{reason}; choose another --port") from None
            time.sleep(0.2)
    with contextlib.ExitStack() as stack:
        for sock in sockets:
            stack.enter_context(sock)
            sock.listen(_BACKLOG)
        yield sockets


def _bind_all(host: str, port: int, count: int) -> list[socket.socket]:
    """Bind sockets to one port that nobody else has."""
    first = _bind(host, port, shared=False)
    if count == 1:
        return [first]
    # A shared port could be shared with a stranger: that it was free is known by now.
    port = first.getsockname()[1]
    first.close()
    return [_bind(host, port, shared=True) for _ in range(count)]


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
