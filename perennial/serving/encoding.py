"""Content-Encoding of requests, and of answers to clients that accept one."""

from __future__ import annotations

import zlib
from functools import lru_cache

from perennial.serving.http import HttpError, Response

WORTH = 1024
"""Bytes of an answer from which on it is compressed: less than that is one packet either way."""
_LEVEL = 1


def compress(response: Response, accepted: str) -> None:
    """Compress an answer as its client accepts it, where that makes it smaller.

    Args:
        accepted: the request's Accept-Encoding.
    """
    encoding = choose(accepted)
    if encoding is None:
        return
    encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS[encoding])
    body = encoder.compress(response.body) + encoder.flush()
    if len(body) < len(response.body):
        response.body = body
        response.headers = (*response.headers, ("Content-Encoding", encoding))


@lru_cache(maxsize=256)
def choose(accepted: str) -> str | None:
    """Choose what a client likes best of gzip and deflate, gzip first; None: neither is accepted.

    ``identity`` is always good enough, so a list that cannot be read is one of nothing.
    """
    weights: dict[str, float] = {}
    for entry in accepted.lower().split(","):
        name, _, parameter = entry.partition(";")
        try:
            weights[name.strip()] = float(parameter.strip().removeprefix("q=") or 1.0)
        except ValueError:
            continue
    anything = weights.get("*", 0.0)
    liked = {name: weights.get(name, anything) for name in ("gzip", "deflate")}
    best = max(liked, key=lambda name: liked[name])
    return best if liked[best] > 0 else None


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
