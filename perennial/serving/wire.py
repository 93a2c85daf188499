"""HTTP/1.1 as bytes: what of a request's head is kept, and how an answer is written."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from urllib.parse import unquote

import httptools
import msgspec

from perennial.serving.http import HttpError, Response


class Head(msgspec.Struct, frozen=True):
    """A request's head, understood and allowed."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    length: int
    """Of the body."""
    owner: str = ""
    """As `Request.owner`."""


LONGEST_TARGET = 2048


@lru_cache(maxsize=1024)
def read_path(target: bytes) -> str:
    """Give the decoded path of a request's target, without the query.

    Raises:
        HttpError: 400, there is none; 414, the target is too long.
    """
    if len(target) > LONGEST_TARGET:
        raise HttpError(414, f"the request's target is longer than {LONGEST_TARGET} bytes")
    if not target.startswith(b"/"):
        try:
            target = httptools.parse_url(target).path or b"/"
        except httptools.HttpParserInvalidURLError:
            raise HttpError(400, "the request's target is no path") from None
    path = target.partition(b"?")[0].decode("latin-1")
    return unquote(path) if "%" in path else path


def write_message(response: Response, date: bytes, *, keep_alive: bool) -> bytes:
    """Write an answer.

    Args:
        date: the header of this second.
    """
    head = b"%bcontent-length: %d\r\n%b" % (
        _head_start(response.status, response.content_type),
        len(response.body),
        date,
    )
    for name, value in response.headers:
        head += f"{name}: {value}\r\n".encode("latin-1")
    return head + (b"\r\n" if keep_alive else b"connection: close\r\n\r\n") + response.body


@lru_cache(maxsize=256)
def _head_start(status: int, content_type: str) -> bytes:
    phrase = HTTPStatus(status).phrase
    return f"HTTP/1.1 {status} {phrase}\r\ncontent-type: {content_type}\r\n".encode("latin-1")
