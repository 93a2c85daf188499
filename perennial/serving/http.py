"""A request and an answer, as every transport brings and takes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import msgspec

from perennial.errors import PerennialError, RequestError
from perennial.serving.segment import LogFull

JSON = "application/json"
_LONGEST_ERROR = 1000
T = TypeVar("T")

encode_json = msgspec.json.Encoder().encode


class Ticket:
    """What a request holds that is answered in a thread.

    It decides who ends the request: whoever logs its answer, or the clock; the first one does. And
    it leads to the desk, at which one request at a time is read, logged and written.
    """

    def __init__(self, desk: threading.Lock | None = None) -> None:
        self._lock = threading.Lock()
        self._desk = desk or threading.Lock()

    def claim(self) -> bool:
        """Tell whether the caller is the first one."""
        return self._lock.acquire(blocking=False)

    def at_desk(self, work: Callable[[], T]) -> T:
        """Do something at the desk, when it is free."""
        with self._desk:
            return work()

    def away(self, work: Callable[[], T]) -> T:
        """Do something that needs no desk, and come back to it; to be called at the desk."""
        self._desk.release()
        try:
            return work()
        finally:
            self._desk.acquire()


class Request(msgspec.Struct):
    """An HTTP request whose body has arrived."""

    method: str
    path: str
    """Decoded, without the query."""
    headers: dict[bytes, bytes]
    """Names in lower case."""
    body: bytes
    started: float
    """`time.perf_counter` when its body was complete."""
    size: int = 0
    """Bytes of the body as it came."""
    authorized: bool = False
    """Whether its token was looked at, and is good for its path."""
    owner: str = ""
    """Goes before the ids of its rows and labels in the log."""
    keep_alive: bool = True
    """Whether its connection stays open after the answer."""
    ticket: Ticket | None = None
    """To be claimed before anything of it is logged; None: nobody else ends it, and no desk."""

    def claim(self) -> None:
        """Claim the right to answer, right before the answer is logged.

        Raises:
            HttpError: 503, the deadline was faster.
        """
        if self.ticket is not None and not self.ticket.claim():
            raise HttpError(503, "the deadline has passed", RETRY_SOON)

    def header(self, name: bytes) -> str | None:
        """Give a header; ``name`` in lower case."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Response(msgspec.Struct):
    """An HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    after: Callable[[], None] | None = None
    """Called when the answer has gone; must not block."""


class HttpError(PerennialError):
    """A request that is answered with a status of 4xx or 5xx.

    Args:
        status: the HTTP status.
        message: one line for the client.
        headers: to send with it.
    """

    def __init__(self, status: int, message: str, *headers: tuple[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


RETRY_SOON = ("Retry-After", "1")


def json_response(value: object, status: int = 200) -> Response:
    """Answer with a JSON document."""
    return Response(status, encode_json(value))


def error_response(error: PerennialError) -> Response:
    """Answer a failed request: ``{"error": "..."}``, as the Open Inference Protocol has it."""
    headers: tuple[tuple[str, str], ...] = ()
    status = 500
    if isinstance(error, HttpError):
        status, headers = error.status, error.headers
    elif isinstance(error, RequestError):
        status = 422
    elif isinstance(error, LogFull):
        status, headers = 503, (RETRY_SOON,)
    words = str(error)
    if len(words) > _LONGEST_ERROR:  # it quotes what was sent
        words = f"{words[:_LONGEST_ERROR]}..."
    return Response(status, encode_json({"error": words}), headers=headers)
