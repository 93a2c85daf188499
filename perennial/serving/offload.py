"""Requests that may take long: answered in a thread beside the event loop, and in time.

One at a time is read, logged and written, so that the small ones keep the interpreter, while the
model runs for another. One that overruns its deadline is given up: its client gets 503, what is
computed yet is neither logged nor sent, and its thread counts no more until it is free again. So a
model that hangs holds neither its request nor those behind it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial

from perennial.serving.http import (
    RETRY_SOON,
    HttpError,
    Request,
    Response,
    Ticket,
    error_response,
)

Reply = Callable[[Request, Response], None]

PLACES = 2
"""Requests that are under way at a time."""
MOST_LOST = 7
"""Threads that may hang; with more of them nothing is begun until one is free."""


def make_threads() -> Executor:
    """Make the threads of one `Offload`."""
    return ThreadPoolExecutor(PLACES + MOST_LOST, thread_name_prefix="large")


class _Job:
    def __init__(self, request: Request, reply: Reply, ticket: Ticket) -> None:
        self.request = request
        self.ticket = request.ticket = ticket
        self.reply: Reply | None = reply
        """None: it was called."""
        self.timer: asyncio.TimerHandle


class Offload:
    """The long requests of a worker. Not to be shared between threads.

    Args:
        handle: answers a request; called in a thread.
        deadline: seconds from a request's last byte to its answer.
        bound: how many requests may wait or be under way.
        refused: called with the status where a request is refused here.
    """

    def __init__(
        self,
        handle: Callable[[Request], Response],
        threads: Executor,
        *,
        deadline: float,
        bound: int,
        refused: Callable[[Request, int], None],
    ) -> None:
        self._handle = handle
        self._threads = threads
        self._deadline = deadline
        self._bound = bound
        self._refused = refused
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Job] = deque()
        self._current: set[_Job] = set()
        self._desk = threading.Lock()
        self._lost = 0
        self.held = 0
        """Requests that wait or are under way."""

    def submit(self, request: Request, reply: Reply) -> None:
        """Take a request, or refuse it at once.

        Args:
            reply: called with the answer, from the event loop.
        """
        if self.held >= self._bound:
            self._refused(request, 503)
            error = HttpError(503, "too many large requests at a time", RETRY_SOON)
            reply(request, error_response(error))
            return
        job = _Job(request, reply, Ticket(self._desk))
        left = self._deadline - (time.perf_counter() - request.started)
        job.timer = self._loop.call_later(max(0.0, left), self._expire, job)
        self.held += 1
        self._queue.append(job)
        self._begin_next()

    def _begin_next(self) -> None:
        while self._queue and len(self._current) < PLACES and self._lost < MOST_LOST:
            job = self._queue.popleft()
            self._current.add(job)
            future = self._loop.run_in_executor(self._threads, self._answer, job)
            future.add_done_callback(partial(self._done, job))

    def _answer(self, job: _Job) -> Response:
        return job.ticket.at_desk(partial(self._handle, job.request))

    def _done(self, job: _Job, future: asyncio.Future[Response]) -> None:
        if job in self._current:
            self._current.remove(job)
        else:
            self._lost -= 1
        self._reply(job, future.result())
        self._begin_next()

    def _expire(self, job: _Job) -> None:
        """Give a request up, unless its answer is being logged: then it is on its way."""
        if not job.ticket.claim():
            return
        if job in self._current:
            self._current.remove(job)
            self._lost += 1
        else:
            self._queue.remove(job)
        self._refused(job.request, 503)
        late = HttpError(503, "the deadline has passed before the model had answered", RETRY_SOON)
        self._reply(job, error_response(late))
        self._begin_next()

    def _reply(self, job: _Job, response: Response) -> None:
        if job.reply is None:
            return
        reply, job.reply = job.reply, None
        job.timer.cancel()
        self.held -= 1
        reply(job.request, response)
