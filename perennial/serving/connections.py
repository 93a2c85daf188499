"""All connections of a worker: what they share, when they are given up, how they end."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from concurrent.futures import Executor
from email.utils import formatdate

from perennial.serving.api import Api
from perennial.serving.auth import Tokens
from perennial.serving.batch import Batch
from perennial.serving.connection import Connection
from perennial.serving.offload import Offload
from perennial.serving.options import ServingOptions
from perennial.serving.wire import Head

_KNOWN_HEADS = 512
_LONGEST_KNOWN = 2048
_GIVEN_UP = 32
"""Where there are too many connections, one in so many is given up."""


class Connections:
    """What the connections of a worker share.

    Args:
        executor: for the requests that take long; see `make_threads`.
        after: takes what is to be done when an answer has gone.
    """

    def __init__(
        self,
        api: Api,
        options: ServingOptions,
        executor: Executor,
        after: Callable[[Callable[[], None]], None],
    ) -> None:
        self.api = api
        self.batch = Batch(api, asyncio.get_running_loop())
        self.offload = Offload(
            api.handle,
            executor,
            deadline=options.deadline,
            bound=options.max_large,
            refused=api.note_refusal,
        )
        self.options = options
        self.head_deadline = min(options.head_deadline, options.deadline)
        self.after = after
        self.open: set[Connection] = set()
        self.in_flight = 0
        """Requests of which something has arrived and whose answer has not been given."""
        self.buffered = 0
        """Bytes of their bodies."""
        self.closing = False
        self.date = b""
        """The header of this second."""
        self.heads: dict[bytes, Head] = {}
        """Heads that came of late, as they were understood: most clients repeat theirs."""
        self.sweep()

    def admit(self, connection: Connection) -> None:
        """Take a new connection; beyond what there may be, give up those that have waited for the
        rest of a head, or for a request, and would be given up first."""
        self.open.add(connection)
        if len(self.open) <= self.options.max_connections:
            return
        waiting = [other for other in self.open if other.is_waiting]
        some = 1 + len(self.open) // _GIVEN_UP
        for other in heapq.nsmallest(some, waiting, key=lambda waits: waits.deadline):
            self.open.discard(other)
            other.give_up()

    def make(self) -> Connection:
        """Make the protocol of a new connection."""
        return Connection(self)

    def sweep(self) -> None:
        """Close the connections that have been waited for too long; to be called every second."""
        self.date = f"date: {formatdate(usegmt=True)}\r\n".encode()
        now = time.monotonic()
        for connection in [c for c in self.open if c.deadline < now]:
            connection.time_out()

    def remember(self, raw: bytes, head: Head) -> None:
        """Keep a head that was understood and allowed."""
        if len(raw) > _LONGEST_KNOWN:
            return
        if len(self.heads) >= _KNOWN_HEADS:
            self.heads.clear()
        self.heads[raw] = head

    def replace_tokens(self, tokens: Tokens) -> None:
        """Go by other tokens from now on; heads that were allowed are looked at again."""
        self.api.admission.replace(tokens)
        self.heads.clear()

    async def drain(self) -> None:
        """Take no further request; return when all that were taken are answered."""
        self.closing = True
        deadline = time.monotonic() + self.options.drain
        for connection in list(self.open):
            connection.close_when_idle()
        while self.open and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
