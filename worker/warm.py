"""The worker's side of the fork server: start it, ask it for children, start it anew."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from prefect.logging import get_logger

from worker.protocol import ANSWERS, Exited, Fork, Forked, Ready, Refused
from worker.sources import default_preload, fingerprint, package_folders

REVIVE_AFTER = 2.0
_LINE_LIMIT = 1 << 20
# Read once, when a library is loaded: the server must have no thread when it forks.
_SINGLE_THREADED = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    "ORT_DISABLE_TELEMETRY": "1",
}

logger = get_logger("perennial.worker")


class ForkFailed(RuntimeError):
    """The fork server gave no child."""


@dataclass
class ForkedChild:
    """A flow run's process, in the shape that Prefect's `ProcessHandle` expects."""

    pid: int
    returncode: int | None = None
    exited: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, code: int) -> None:
        """Note its exit code; the first one stands."""
        if self.returncode is None:
            self.returncode = code
            self.exited.set()


class ServerProcess:
    """One fork server, from its start to its end."""

    def __init__(self, modules: Sequence[str], grace: float) -> None:
        self._modules = modules
        self._grace = grace
        self._requests = itertools.count()
        self._answers: dict[int, asyncio.Future[ForkedChild]] = {}
        self._children: dict[int, ForkedChild] = {}
        self._ready = asyncio.Event()
        self.ended = asyncio.Event()
        self._retired = False
        self._holders = 0
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listener: asyncio.Task[None] | None = None
        self.threads = 0

    async def start(self) -> None:
        """Start the process; it answers once its imports are done."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "worker.fork_server"),
                *("--channel", str(theirs.fileno()), "--grace", str(self._grace)),
                *self._modules,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, **_SINGLE_THREADED},
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE_LIMIT)
        self._listener = asyncio.create_task(self._listen(reader))

    async def fork(
        self,
        environment: Mapping[str, str],
        directory: Path,
        *,
        stream_output: bool,
        place: str | None = None,
    ) -> ForkedChild:
        """Ask for a child that starts in a directory and goes on to a place.

        Raises:
            ForkFailed: the server refuses, or has died.
        """
        await self.warmed_up()
        request = Fork(
            request=next(self._requests),
            environment=dict(environment),
            directory=str(directory),
            place=place,
            stream_output=stream_output,
        )
        assert self._writer is not None
        answer: asyncio.Future[ForkedChild] = asyncio.get_running_loop().create_future()
        self._answers[request.request] = answer
        self._writer.write(request.line())
        return await answer

    async def warmed_up(self) -> None:
        """Wait for the imports.

        Raises:
            ForkFailed: the server has died.
        """
        await self._ready.wait()
        if not self.alive:
            raise ForkFailed("the fork server died")

    @property
    def alive(self) -> bool:
        """Whether it still answers."""
        return not self.ended.is_set()

    def hold(self) -> None:
        """Keep a retired server from ending before `release`."""
        self._holders += 1

    def release(self) -> None:
        """Undo `hold`."""
        self._holders -= 1
        self._close_if_idle()

    def retire(self) -> None:
        """End when nobody holds it any more."""
        self._retired = True
        self._close_if_idle()

    async def stop(self) -> None:
        """End it with all its children, and wait until they have ended."""
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            await self._process.wait()
        if self._listener is not None:
            await self._listener

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(ANSWERS.validate_json(line))
        except ConnectionResetError:
            logger.warning("The fork server broke its connection.")
        finally:
            self._bury()
        assert self._process is not None
        code = await self._process.wait()
        if code != 0:
            logger.warning("The fork server ended with code %s.", code)

    def _take(self, answer: Ready | Forked | Refused | Exited) -> None:
        match answer:
            case Ready():
                logger.info("Imports done in %.1f s.", answer.seconds)
                self.threads = answer.threads
                if answer.threads > 1:
                    logger.warning(
                        "The imports started %s threads: runs get new processes instead of forks.",
                        answer.threads - 1,
                    )
                for module, reason in answer.failed.items():
                    logger.warning("Could not import %s: %s", module, reason)
                self._ready.set()
            case Forked():
                child = self._children[answer.pid] = ForkedChild(answer.pid)
                self._settle(answer.request, child)
            case Refused():
                self._settle(answer.request, ForkFailed(answer.reason))
            case Exited():
                self._children.pop(answer.pid).end(answer.code)

    def _settle(self, request: int, outcome: ForkedChild | ForkFailed) -> None:
        answer = self._answers.pop(request)
        if answer.cancelled():
            return
        if isinstance(outcome, ForkFailed):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)

    def _bury(self) -> None:
        """The server is gone, and its children with it: the kernel kills them."""
        self.ended.set()
        self._ready.set()
        for request in list(self._answers):
            self._settle(request, ForkFailed("the fork server died"))
        for child in self._children.values():
            child.end(-signal.SIGKILL)
        self._children.clear()

    def _close_if_idle(self) -> None:
        if self._retired and not self._holders and self._writer is not None:
            self._writer.close()


class WarmProcess:
    """Always a fork server that lives and has the code as it is on disk."""

    def __init__(
        self,
        *,
        preload: Callable[[], Sequence[str]] = default_preload,
        folders: Callable[[], Sequence[Path]] = package_folders,
        grace: float = 10.0,
    ) -> None:
        """Nothing is started yet.

        Args:
            preload: names the modules to import before the first fork.
            folders: where a change of a Python file asks for a new server.
            grace: seconds that children have to report their end when the worker is gone.
        """
        self._preload = preload
        self._folders = folders
        self._grace = grace
        self._server: ServerProcess | None = None
        self._retired: list[ServerProcess] = []
        self._sources: frozenset[tuple[str, int, int]] = frozenset()
        self._lock = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None

    async def ensure(self) -> ServerProcess:
        """Return a server that is up to date; a new one where it died or the code changed."""
        async with self._lock:
            sources = fingerprint(self._folders())
            if self._server is not None and not self._server.alive:
                logger.warning("The fork server died: starting another.")
                self._server = None
            if self._server is not None and sources != self._sources:
                logger.info("The code has changed: starting another fork server.")
                self._server.retire()
                self._retired.append(self._server)
                self._server = None
            if self._server is None:
                self._server = ServerProcess(self._preload(), self._grace)
                self._sources = sources
                await self._server.start()
                self._keep(self._server)
            self._retired = [server for server in self._retired if server.alive]
            return self._server

    @asynccontextmanager
    async def server(self) -> AsyncIterator[ServerProcess]:
        """Give a server with its imports done, which outlives a change of the code while held.

        Raises:
            ForkFailed: two in a row died in their imports.
        """
        server = await self.ensure()
        server.hold()
        try:
            try:
                await server.warmed_up()
            except ForkFailed:
                server.release()
                server = await self.ensure()
                server.hold()
                await server.warmed_up()
            yield server
        finally:
            server.release()

    def _keep(self, server: ServerProcess) -> None:
        """When a server dies, have the next one warm before it is needed."""
        if self._keeper is not None:
            self._keeper.cancel()
        self._keeper = asyncio.create_task(self._revive_after(server))

    async def _revive_after(self, server: ServerProcess) -> None:
        await server.ended.wait()
        await asyncio.sleep(REVIVE_AFTER)
        self._keeper = None
        await self.ensure()

    async def stop(self) -> None:
        """End every server with its children."""
        if self._keeper is not None:
            self._keeper.cancel()
        for server in [*self._retired, *([self._server] if self._server else [])]:
            await server.stop()
