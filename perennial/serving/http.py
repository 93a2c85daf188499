"""A request and an answer, as every transport brings and takes them."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import msgspec

from perennial.errors import PerennialError, RequestError
from perennial.serving.segment import LogFull

JSON = "application/json"

encode_json = msgspec.json.Encoder().encode


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
    keep_alive: bool = True
    """Whether its connection stays open after the answer."""

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
    return Response(status, encode_json({"error": str(error)}), headers=headers)


def decompress(body: bytes, encoding: str, bound: int) -> bytes:
    """Undo a Content-Encoding of gzip or deflate.

    Raises:
        HttpError: 415 for another encoding, 400 for a damaged body, 413 where the result is larger
            than ``bound`` bytes.
    """
    if encoding not in _WINDOW_BITS:
        raise HttpError(415, f"Content-Encoding {encoding[:50]!r} is not understood")
    bits = _WINDOW_BITS[encoding]
    if encoding == "deflate" and not _has_zlib_head(body):
        bits = -zlib.MAX_WBITS
    decoder = zlib.decompressobj(bits)
    try:
        data = decoder.decompress(body, bound + 1)
    except zlib.error as error:
        raise HttpError(400, f"the body is not {encoding}: {error}") from None
    if len(data) > bound:
        raise HttpError(413, f"the body is larger than {bound} bytes")
    if not decoder.eof:
        raise HttpError(400, f"the body is not {encoding}: it is cut off")
    return data


_WINDOW_BITS = {
    "gzip": zlib.MAX_WBITS | 16,
    "x-gzip": zlib.MAX_WBITS | 16,
    "deflate": zlib.MAX_WBITS,
}


def _has_zlib_head(body: bytes) -> bool:
    """Tell the zlib format (RFC 1950, what deflate means) from bare deflate, which some send."""
    return len(body) >= 2 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
