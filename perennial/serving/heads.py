"""What the head of a request may say, and what of it is passed over."""

from __future__ import annotations

from perennial.serving.http import HttpError

MAX_HEAD = 64 * 1024
"""Bytes."""
MAX_TRAILERS = 8 * 1024
"""Bytes of what follows a body in chunks; none of it is kept."""
HEALTH = frozenset(("/v2/health/live", "/v2/health/ready"))
"""Answered however many requests there are."""
ONCE = frozenset(
    (b"transfer-encoding", b"content-length", b"host", b"authorization", b"content-encoding")
)
"""Headers that may stand there once: two readers may take two different ones."""


def content_length(headers: dict[bytes, bytes]) -> int:
    """Give the announced length of a body, 0 where there is none; the parser saw that it fits 64
    bits."""
    length = headers.get(b"content-length")
    return 0 if length is None else int(length[-20:])


def check_head(version: str, headers: dict[bytes, bytes]) -> None:
    """See that a head is one of HTTP/1.1 or 1.0, and that its body comes in a way that is read.

    Raises:
        HttpError: 400 or 501.
    """
    if version == "1.1":
        if b"host" not in headers:
            raise HttpError(400, "a request of HTTP/1.1 names its Host")
    elif version != "1.0":
        raise HttpError(400, "only HTTP/1.1 is spoken here")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and coding.lower() != b"chunked":
        raise HttpError(501, "of Transfer-Encoding only chunked is understood")


def without_upgrade(method: str, target: bytes, version: str, headers: dict[bytes, bytes]) -> bytes:
    """Write a head anew as if it had not offered another protocol (RFC 9110, 7.8: a server may
    pass over the offer)."""
    offered = (b"upgrade", b"http2-settings")
    kept = {name: value for name, value in headers.items() if name not in offered}
    tokens = [token.strip() for token in kept.pop(b"connection", b"").lower().split(b",")]
    if tokens := [token for token in tokens if token and token not in offered]:
        kept[b"connection"] = b", ".join(tokens)
    lines = [b"%b %b HTTP/%b" % (method.encode(), target, version.encode())]
    lines += [b"%b: %b" % header for header in kept.items()]
    return b"\r\n".join(lines) + b"\r\n\r\n"
