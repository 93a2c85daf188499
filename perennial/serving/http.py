"""A request and an answer, as every transport brings and takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from perennial.errors import ModelError, PerennialError, RequestError
from perennial.serving.segment import LogFull

JSON = "application/json"

encode_json = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Request:
    """An HTTP request whose body has arrived."""

    method: str
    path: str
    """Decoded, without the query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    started: float
    """`time.perf_counter` when its body was complete."""


@dataclass(slots=True)
class Response:
    """An HTTP answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    after: Callable[[], None] | None = field(default=None, repr=False)
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
    if isinstance(error, HttpError):
        status, headers = error.status, error.headers
    elif isinstance(error, RequestError):
        status = 422
    elif isinstance(error, LogFull):
        status, headers = 503, (RETRY_SOON,)
    elif isinstance(error, ModelError):
        status = 500
    else:
        status = 500
    return Response(status, encode_json({"error": str(error)}), headers=headers)
