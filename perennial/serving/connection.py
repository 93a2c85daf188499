"""HTTP/1.1 on one connection: a `RequestReader` parses, the `Api` answers.

A request for one row takes less time in the model than a general web server takes around it, so
this speaks to the transport directly. Requests for one row are answered with those that came with
them (`Batch`), what may take long in a thread (`Offload`), all else in place; the answers on a
connection keep the order of its requests.

Kept here are the time for a head and for a request to arrive (408) and for an answer to be taken. A
connection that breaks the protocol gets 400 and is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING

import httptools

from perennial.serving.heads import content_length
from perennial.serving.http import HttpError, Request, Response, error_response
from perennial.serving.reader import RequestReader
from perennial.serving.wire import Head, write_message

if TYPE_CHECKING:
    from perennial.serving.connections import Connections

_LINGER = 2.0


class Connection(RequestReader, asyncio.Protocol):
    """One client."""

    def __init__(self, shared: Connections) -> None:
        super().__init__(shared)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Request] = deque()
        self._busy = False
        self._writable = True
        self._refusal: HttpError | None = None
        self._last_moment = float("inf")
        self._advancing = False
        self._paused = False
        """Whether `_next` has reading to resume."""

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]
        self._shared.admit(self)

    def connection_lost(self, _: Exception | None) -> None:
        """End; what is under way in a thread is finished and its answer dropped."""
        self._shared.open.discard(self)
        if self._reading_request:
            self._end_of_request()
        self._shared.in_flight -= len(self._queue)
        self._shared.buffered -= sum(request.size for request in self._queue)
        self._queue.clear()

    def data_received(self, data: bytes) -> None:
        """Parse what came; whole requests in it are answered."""
        if self._refusal is not None:
            self._linger()
            return
        if self._is_known(data):
            return
        is_fresh = not self._reading_request
        self._complete = None
        try:
            self._feed(data)
            if is_fresh and self._complete is not None and not self._reading_request:
                self._remember(data, self._complete)
        except HttpError as error:
            self._refuse(error)
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, HttpError):
                raise
            self._refuse(error.__context__)
        except httptools.HttpParserError as error:
            self._refuse(HttpError(400, f"this is no HTTP request: {error}"))

    def _is_known(self, data: bytes) -> bool:
        """Take a whole request whose head came before, byte by byte, without parsing it again."""
        shared = self._shared
        if self._reading_request or shared.in_flight >= self._options.max_requests:
            return False
        end = data.find(b"\r\n\r\n") + 4
        head = shared.heads.get(data[:end])
        if head is None or len(data) != end + head.length or shared.closing:
            return False
        shared.in_flight += 1
        shared.buffered += head.length
        self._take(
            Request(
                head.method,
                head.path,
                head.headers,
                data[end:],
                time.perf_counter(),
                head.length,
                authorized=True,
                owner=head.owner,
            )
        )
        return True

    def _remember(self, data: bytes, request: Request) -> None:
        """Keep the head of a request if ``data`` is all of it and it is of the plain kind."""
        end = data.find(b"\r\n\r\n") + 4
        headers = request.headers
        is_plain = b"transfer-encoding" not in headers and b"expect" not in headers
        length = content_length(headers)
        if not (is_plain and request.keep_alive and request.authorized):
            return
        if len(data) == end + length == end + request.size:
            head = Head(request.method, request.path, headers, length, request.owner)
            self._shared.remember(data[:end], head)

    def pause_writing(self) -> None:
        """The client does not take its answers: stop making more."""
        self._writable = False
        self._paused = True
        self.deadline = time.monotonic() + self._options.deadline
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """It does again."""
        self._writable = True
        self.deadline = float("inf") if self._busy else time.monotonic() + self._options.idle
        self._next()

    def _take(self, request: Request) -> None:
        if self._busy or not self._writable:
            self._queue.append(request)
            self._paused = True
            self._transport.pause_reading()
        else:
            self._answer(request)

    # Answers

    def _answer(self, request: Request) -> None:
        api = self._shared.api
        self._busy = True
        self.deadline = float("inf")
        large = request.size >= self._options.offload or b"content-encoding" in request.headers
        if not large and self._shared.batch.take(request, self._reply):
            return
        if large or api.may_take_long(request):
            self._shared.offload.submit(request, self._reply)
        else:
            self._reply(request, api.handle(request))

    def _reply(self, request: Request, response: Response) -> None:
        """Give an answer, and turn to what has come meanwhile."""
        self._busy = False
        self._shared.in_flight -= 1
        self._shared.buffered -= request.size
        if self._transport.is_closing():
            return
        self._write(response, request.keep_alive, with_body=request.method != "HEAD")
        if response.after is not None:
            self._shared.after(response.after)
        if (self._paused or self._refusal is not None) and not self._advancing:
            self._next()

    def _next(self) -> None:
        """Answer what was pipelined while an answer was under way."""
        self._advancing = True
        while self._queue and not self._busy and self._writable:
            self._answer(self._queue.popleft())
        self._advancing = False
        if self._queue or self._busy or not self._writable or self._transport.is_closing():
            return
        if self._refusal is not None:
            self._say_refusal(self._refusal)
        self._paused = False
        self._transport.resume_reading()

    def _write(self, response: Response, keep_alive: bool, *, with_body: bool = True) -> None:
        if self._shared.closing and not self._queue:
            keep_alive = False
        message = write_message(response, self._shared.date, keep_alive=keep_alive)
        self._transport.write(message if with_body else message[: -len(response.body) or None])
        if keep_alive:
            self.deadline = time.monotonic() + self._options.idle
        else:
            self._transport.close()

    def _refuse(self, error: HttpError) -> None:
        """Read no further request: what comes cannot be understood, or is too much."""
        self._refusal = error
        if self._reading_request:
            self._end_of_request()
        if not self._busy and not self._queue:
            self._say_refusal(error)

    def _say_refusal(self, error: HttpError) -> None:
        """Answer with an error and close, but only when the client has had time to read it.

        A socket that is closed while data comes in is reset, and its answer is lost: so the rest
        is read and thrown away for a while.
        """
        if self._transport.is_closing():
            return
        self._shared.api.count_refusal(error.status)
        self._transport.write(
            write_message(error_response(error), self._shared.date, keep_alive=False)
        )
        with contextlib.suppress(OSError):  # the client is gone already
            self._transport.write_eof()
        self._last_moment = time.monotonic() + self._options.deadline
        self._linger()

    def _linger(self) -> None:
        """Throw away what comes, as long as it comes, but not for ever."""
        self.deadline = min(time.monotonic() + _LINGER, self._last_moment)

    def time_out(self) -> None:
        """Give up on a client that sends, or takes, too slowly."""
        if self._reading_request and self._writable:
            self._refuse(HttpError(408, "the request did not arrive in time"))
        else:
            self._transport.abort()

    def give_up(self) -> None:
        """Make room for another client."""
        self._transport.abort()

    @property
    def is_waiting(self) -> bool:
        """Whether no request of which the head is complete is under way."""
        return not (self._busy or self._queue or (self._reading_request and not self._in_head))

    def close_when_idle(self) -> None:
        """Close now, or after the request that is under way."""
        if not (self._reading_request or self._busy or self._queue):
            self._transport.close()
