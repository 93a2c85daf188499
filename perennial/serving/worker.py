"""One process that answers requests. Started by `perennial.serving.server`, which owns the socket.

A worker knows the local disk only: it reads the line-up, appends to the log, and never talks to the
store. It ends when it is told to, or when the server that started it is gone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
import warnings
from pathlib import Path

import msgspec
import uvloop

from perennial.errors import StackError
from perennial.serving.api import Api
from perennial.serving.auth import Tokens, TokensFile
from perennial.serving.connections import Connections
from perennial.serving.garbage import collect_seldom
from perennial.serving.lineup import LocalModels
from perennial.serving.log import Log
from perennial.serving.logs import configure_logging
from perennial.serving.metrics import SUFFIX, exposition, worker_metrics
from perennial.serving.models import ModelTable
from perennial.serving.offload import make_threads
from perennial.serving.options import ServingOptions
from perennial.serving.paths import ServerPaths, read_agent_status
from perennial.serving.shadow import ShadowRunner

logger = logging.getLogger(__name__)

_TICK = 0.1
_TICKS_PER_DUMP = 5
_SWITCH_INTERVAL = 0.0005
_OTHER_FILES = 256
"""Open files of a worker besides its connections."""


class Worker:
    """The parts of one worker and what keeps them up to date.

    Args:
        paths: of the server that it belongs to.
        name: of this worker; no other one, dead or alive, has it.
    """

    def __init__(self, paths: ServerPaths, name: str, options: ServingOptions) -> None:
        self._paths = paths
        self._metrics_file = paths.run / f"{name}{SUFFIX}"
        self._metrics = worker_metrics()
        self._table = ModelTable(LocalModels(paths.models))
        self._log = Log(
            paths.log,
            name,
            segment_size=options.segment_size,
            segment_age=options.segment_age,
            bound=options.log_bound,
        )
        self._shadows = ShadowRunner(
            options.shadow_queue,
            on_drop=lambda: self._metrics.add("perennial_shadow_dropped_total"),
            on_failure=lambda: self._metrics.add("perennial_shadow_failures_total"),
        )
        self._tokens_file = TokensFile(os.environ)
        tokens = Tokens.from_env(os.environ)
        api = Api(self._table, self._log, self._metrics, options, tokens, self._exposition)
        self.connections = Connections(api, options, make_threads(), self._shadows.submit)

    def _exposition(self) -> str:
        return exposition(self._metrics, self._paths.run, self._metrics_file)

    def fill(self) -> None:
        """Load the line-up before the first request is taken."""
        self._table.refresh()
        collect_seldom()

    async def keep(self, stop: asyncio.Event, parent: int) -> None:
        """Follow the line-up, close old segments, write metrics, until told to stop.

        Args:
            stop: set from outside, or here when the server is gone.
            parent: process id of the server.
        """
        ticks = 0
        while not stop.is_set():
            if self._table.is_stale():
                await asyncio.to_thread(self._table.refresh)
            self._log.close_old()
            if ticks % _TICKS_PER_DUMP == 0:
                self._exchange()
                self._follow_tokens()
                self.connections.sweep()
            if os.getppid() != parent:
                stop.set()
            ticks += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _TICK)

    def _follow_tokens(self) -> None:
        try:
            tokens = self._tokens_file.reread()
        except StackError as error:
            logger.error("the tokens stay what they were: %s", error)
            return
        if tokens is not None:
            self.connections.replace_tokens(tokens)
            logger.info("the tokens were read anew")

    def _exchange(self) -> None:
        """Tell the other processes this one's numbers, and hear how much log waits."""
        self._log.waiting = read_agent_status(self._paths).waiting_bytes
        self._metrics.set("perennial_requests_in_flight", self.connections.in_flight)
        self._metrics.set("perennial_large_requests", self.connections.offload.held)
        self._metrics.set("perennial_shadow_waiting", self._shadows.waiting)
        self._metrics.set("perennial_model_load_failures_total", self._table.failures)
        try:
            self._metrics.write(self._metrics_file)
        except OSError as error:
            logger.error("the metrics of this worker cannot be written: %s", error)

    def close(self) -> None:
        """Finish what is left when no request comes any more."""
        self._shadows.close()
        self._log.close()
        self._exchange()


async def run(
    paths: ServerPaths, name: str, options: ServingOptions, sock: socket.socket, parent: int
) -> None:
    """Serve until SIGTERM, SIGINT or the end of the parent."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker = Worker(paths, name, options)
    worker.fill()
    try:
        server = await loop.create_server(worker.connections.make, sock=sock)
        await worker.keep(stop, parent)
        server.close()
        await worker.connections.drain()
    finally:
        worker.close()


def within_descriptors(options: ServingOptions) -> ServingOptions:
    """Allow this process as many open files as it may have, and bound connections by that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = options.max_connections + _OTHER_FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = max(1, min(options.max_connections, soft - _OTHER_FILES))
    return msgspec.structs.replace(options, max_connections=most)


def main() -> None:
    """Run a worker; for `perennial.serving.server` only."""
    parser = argparse.ArgumentParser(prog="perennial.serving.worker", description=main.__doc__)
    parser.add_argument("--socket", type=int, required=True, help="file descriptor to accept on")
    parser.add_argument("--name", required=True)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--options", required=True, help="as JSON")
    parser.add_argument("--parent", type=int, required=True, help="process id of the server")
    arguments = parser.parse_args()
    configure_logging()
    # A thread with a large request or a shadow lets the answers pass after this many seconds.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # A number beyond float32 is found in the answer, not in every request.
    warnings.filterwarnings("ignore", "overflow encountered in cast", RuntimeWarning)
    options = msgspec.json.decode(arguments.options, type=ServingOptions)
    options = within_descriptors(options)
    paths = ServerPaths(arguments.dir)
    with (
        socket.socket(fileno=arguments.socket) as sock,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(run(paths, arguments.name, options, sock, arguments.parent))


if __name__ == "__main__":
    main()
