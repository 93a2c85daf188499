"""HTTP/1.1 on one connection: httptools parses, the `Api` answers.

A request for one row takes less time in the model than a general web server takes around it, so
this speaks to the transport directly. Requests for one row are answered with those that came with
them (`Batch`), what may take long in a thread (`Offload`), all else in place; the answers on a
connection keep the order of its requests.

Limits are kept here: size of headers and body (431, 413), requests at a time (503), time for a
request to arrive (408) and for an answer to be taken. Who may not ask is told so when the head is
complete (401, 403). A connection that breaks the protocol gets 400 and is closed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from perennial.serving.http import RETRY_SOON, HttpError, Request, Response, error_response
from perennial.serving.wire import Head, read_path, write_message

if TYPE_CHECKING:
    from perennial.serving.connections import Connections

_MAX_HEAD = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINGER = 2.0


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, shared: Connections) -> None:
        self._shared = shared
        self._options = shared.options
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Request] = deque()
        self._busy = False
        self._writable = True
        self._reading_request = False
        self._in_head = False
        self._head_size = 0
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._refusal: HttpError | None = None
        self._last_moment = float("inf")
        self._authorized = False
        self._advancing = False
        self._paused = False
        """Whether `_next` has reading to resume."""
        self._complete: Request | None = None
        """The request that ended in the data that is parsed."""
        self.deadline = time.monotonic() + self._options.idle

    # The transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]
        self._shared.open.add(self)

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
            self._parser.feed_data(data)
            if self._in_head:
                self._count_head(len(data))
            elif is_fresh and self._complete is not None:
                self._remember(data, self._complete)
        except httptools.HttpParserUpgrade:
            self._refuse(HttpError(400, "only HTTP/1.1 is spoken here"))
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
            )
        )
        return True

    def _remember(self, data: bytes, request: Request) -> None:
        """Keep the head of a request if ``data`` is all of it and it is of the plain kind."""
        end = data.find(b"\r\n\r\n") + 4
        headers = request.headers
        is_plain = b"transfer-encoding" not in headers and b"expect" not in headers
        length = int(headers.get(b"content-length", b"0"))
        if not (is_plain and request.keep_alive and request.authorized):
            return
        if len(data) == end + length == end + request.size:
            head = Head(request.method, request.path, headers, length)
            self._shared.remember(data[:end], head)

    def _count_head(self, size: int) -> None:
        """Bound what comes before a head is complete."""
        self._head_size += size
        if self._head_size > _MAX_HEAD:
            self._refuse(HttpError(431, f"the request's head is larger than {_MAX_HEAD} bytes"))

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

    # The parser's side

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reading_request = self._in_head = True
        self._shared.in_flight += 1
        self._url = b""
        self._headers = {}
        self._body = []
        self._head_size = self._size = 0
        self.deadline = time.monotonic() + self._options.deadline

    def on_url(self, url: bytes) -> None:
        """A part of the target came."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The body follows: see whether it may."""
        if self._shared.in_flight > self._options.max_requests:
            raise HttpError(503, "too many requests at a time", RETRY_SOON)
        self._in_head = False
        length = int(self._headers.get(b"content-length", b"0"))
        if length > self._options.max_body:
            raise self._too_large()
        self._authorized = True
        try:
            self._shared.api.authorize(read_path(self._url), self._headers)
        except HttpError:
            if length or b"transfer-encoding" in self._headers:
                raise  # nobody is to send a body for nothing
            self._authorized = False
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body came."""
        self._size += len(body)
        self._shared.buffered += len(body)
        self._body.append(body)
        if self._size > self._options.max_body:
            raise self._too_large()
        if self._shared.buffered > self._options.max_buffered:
            raise HttpError(503, "too many large bodies at a time", RETRY_SOON)

    def on_message_complete(self) -> None:
        """A request is complete."""
        request = Request(
            self._parser.get_method().decode("latin-1"),
            read_path(self._url),
            self._headers,
            self._body[0] if len(self._body) == 1 else b"".join(self._body),
            time.perf_counter(),
            self._size,
            authorized=self._authorized,
            keep_alive=self._parser.should_keep_alive() and not self._shared.closing,
        )
        self._body = []
        self._reading_request = False
        self._complete = request
        self._take(request)

    def _take(self, request: Request) -> None:
        if self._busy or not self._writable:
            self._queue.append(request)
            self._paused = True
            self._transport.pause_reading()
        else:
            self._answer(request)

    def _too_large(self) -> HttpError:
        return HttpError(413, f"the body is larger than {self._options.max_body} bytes")

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
        self._transport.write_eof()
        self._last_moment = time.monotonic() + self._options.deadline
        self._linger()

    def _linger(self) -> None:
        """Throw away what comes, as long as it comes, but not for ever."""
        self.deadline = min(time.monotonic() + _LINGER, self._last_moment)

    def _end_of_request(self) -> None:
        """Forget a request that is not complete."""
        self._reading_request = False
        self._shared.in_flight -= 1
        self._shared.buffered -= self._size
        self._body = []

    def time_out(self) -> None:
        """Give up on a client that sends, or takes, too slowly."""
        if self._reading_request and self._writable:
            self._refuse(HttpError(408, "the request did not arrive in time"))
        else:
            self._transport.abort()

    def close_when_idle(self) -> None:
        """Close now, or after the request that is under way."""
        if not (self._reading_request or self._busy or self._queue):
            self._transport.close()
