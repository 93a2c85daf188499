"""Requests out of the bytes of a connection: httptools parses.

Limits are kept here: size of headers and body (431, 413) and requests at a time (503). Who may not
ask is told so when the head is complete (401, 403), and from then on a request counts.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import httptools

from perennial.serving.heads import (
    HEALTH,
    MAX_HEAD,
    MAX_TRAILERS,
    ONCE,
    check_head,
    content_length,
    without_upgrade,
)
from perennial.serving.http import RETRY_SOON, HttpError, Request
from perennial.serving.wire import read_path

if TYPE_CHECKING:
    from perennial.serving.connections import Connections

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_AROUND_CHUNKS = 16
"""Bytes that may come with one byte of a body in chunks: its size and the ends of lines."""


class RequestReader(ABC):
    """What a connection has read of the request that is under way."""

    def __init__(self, shared: Connections) -> None:
        self._shared = shared
        self._options = shared.options
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._reading_request = False
        self._in_head = False
        self._upgrades = False
        """Whether the head offers another protocol: it is read again without that."""
        self._counted = False
        """Whether the request that is read is among those in flight."""
        self._began = 0.0
        self._came = 0
        """Bytes of the request that is read."""
        self._head_size = self._trailer_size = 0
        self._url = b""
        self._path = ""
        self._headers: dict[bytes, bytes] = {}
        self._body: bytes | bytearray = b""
        self._size = 0
        self._authorized = False
        self._owner = ""
        self._complete: Request | None = None
        """The request that ended in the data that is parsed."""
        self.deadline = time.monotonic() + self._options.idle

    @abstractmethod
    def _take(self, request: Request) -> None:
        """Answer a request, or have it wait."""

    def _feed(self, data: bytes) -> None:
        """Parse; a head that offers another protocol is parsed again without the offer.

        Raises:
            HttpError: the request may not go on.
            httptools.HttpParserError: that is no HTTP; or an `HttpError` is its context.
        """
        self._came += len(data)
        while data:
            try:
                self._parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                method = self._parser.get_method().decode("latin-1")
                if not self._upgrades or method == "CONNECT":
                    raise HttpError(400, "only HTTP/1.1 is spoken here") from None
                version = self._parser.get_http_version()
                head = without_upgrade(method, self._url, version, self._headers)
                self._reading_request = False
                self._parser = httptools.HttpRequestParser(self)
                data = head + data[upgrade.args[0] :]
        if self._reading_request:
            self._bound()

    def _bound(self) -> None:
        """Bound what comes of a request besides its body."""
        if self._in_head:
            around = self._came
        else:
            around = self._came - self._head_size - (1 + _AROUND_CHUNKS) * self._size
        if around > MAX_HEAD:
            raise HttpError(431, f"the request's head is larger than {MAX_HEAD} bytes")

    def on_message_begin(self) -> None:
        """A request begins."""
        self._reading_request = self._in_head = True
        self._upgrades = self._counted = False
        self._url = b""
        self._headers = {}
        self._body = b""
        self._head_size = self._trailer_size = self._size = 0
        self._began = time.monotonic()
        self.deadline = self._began + self._shared.head_deadline

    def on_url(self, url: bytes) -> None:
        """A part of the target came."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header came, or what follows a body in chunks, which is passed over."""
        if self._in_head:
            self._head_size += len(name) + len(value)
            name = name.lower()
            if name in ONCE and name in self._headers:
                raise HttpError(400, f"the header {name.decode('latin-1')} stands twice")
            self._headers[name] = value
            return
        self._trailer_size += len(name) + len(value)
        if self._trailer_size > MAX_TRAILERS:
            raise HttpError(431, f"the request's trailers are larger than {MAX_TRAILERS} bytes")

    def on_headers_complete(self) -> None:
        """The body follows: see whether it may."""
        if self._parser.should_upgrade():
            self._upgrades = True
            return
        if self._head_size + len(self._url) > MAX_HEAD:
            raise HttpError(431, f"the request's head is larger than {MAX_HEAD} bytes")
        check_head(self._parser.get_http_version(), self._headers)
        path = self._path = read_path(self._url)
        length = content_length(self._headers)
        if length > self._options.max_body:
            raise self._too_large()
        self._authorized, self._owner = True, ""
        try:
            self._owner = self._shared.api.authorize(path, self._headers)
        except HttpError:
            if length or b"transfer-encoding" in self._headers:
                raise  # nobody is to send a body for nothing
            self._authorized = False
        if self._shared.in_flight >= self._options.max_requests and path not in HEALTH:
            raise HttpError(503, "too many requests at a time", RETRY_SOON)
        self._in_head = False
        self._counted = True
        self._shared.in_flight += 1
        self.deadline = self._began + self._options.deadline
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body came."""
        self._size += len(body)
        self._shared.buffered += len(body)
        if not self._body:
            self._body = body
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body
        if self._size > self._options.max_body:
            raise self._too_large()
        if self._shared.buffered > self._options.max_buffered:
            raise HttpError(503, "too many large bodies at a time", RETRY_SOON)

    def on_message_complete(self) -> None:
        """A request is complete."""
        if self._upgrades:
            return
        request = Request(
            self._parser.get_method().decode("latin-1"),
            self._path,
            self._headers,
            bytes(self._body),
            time.perf_counter(),
            self._size,
            authorized=self._authorized,
            owner=self._owner,
            keep_alive=self._parser.should_keep_alive() and not self._shared.closing,
        )
        self._body = b""
        self._came = 0
        self._reading_request = False
        self._complete = request
        self._take(request)

    def _too_large(self) -> HttpError:
        return HttpError(413, f"the body is larger than {self._options.max_body} bytes")

    def _end_of_request(self) -> None:
        """Forget a request that is not complete."""
        self._reading_request = False
        self._shared.in_flight -= self._counted
        self._shared.buffered -= self._size
        self._body = b""
