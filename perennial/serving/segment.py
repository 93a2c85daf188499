"""The log on the local disk, between an answer and the store.

A segment is a file of frames. A frame is a little-endian head of two uint32 (length and CRC-32 of
the payload) and the payload, msgpack. The first frame is a `SegmentHead`; each further one is a
`PredictionRecord` or a `FeedbackRecord`. A process that is killed leaves at most one torn frame, at
the end; its answer never left, and a reader drops it.

``DIR/log/<pipeline>/<kind>/`` holds, by the end of the name:

=====================  ===========================================================================
``<writer>-<n>.open``   a worker appends to it
``<writer>-<n>.closed`` complete, waits for the uploader
``<ulid>.<rows>.sealed`` its key in the store is fixed; put, then removed
``....broken``          cannot be read, which only a damaged disk explains; kept for a person
=====================  ===========================================================================
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from perennial.errors import PerennialError

OPEN = ".open"
CLOSED = ".closed"
SEALED = ".sealed"
BROKEN = ".broken"

Kind = Literal["predictions", "feedback"]

_HEAD = struct.Struct("<II")


class LogFull(PerennialError):
    """The log cannot take a record: the disk is full, or too much waits for the store."""


class SegmentHead(msgspec.Struct, frozen=True):
    """First frame: what the records of a segment are."""

    pipeline: str
    kind: Kind
    signature: str | None
    """signature.json of the models that answered; None in a segment of feedback."""
    format: int = 1


class PredictionRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Rows that one model answered together."""

    time: int
    """Microseconds since the epoch."""
    version: str
    role: str
    latency: int | list[int]
    """Microseconds: of all rows together, or one a row."""
    rows: int
    ids: list[str]
    """One a row, or the one id of a request of several rows: see `row_ids`."""
    numeric: memoryview
    """float64 or, where ``single``, float32, (rows, numeric features)."""
    categorical: list[list[str]] | None
    """One list a row, "" is missing; None: no categorical features."""
    context: list[list[str | None]] | None
    """One list a row; None: nothing was sent."""
    output: memoryview
    """float32, (rows, width)."""
    single: bool = False
    key: int | list[int] = 0
    """Hash of the routing key, 64 bits without sign: of all rows together, or one a row; 0 where
    ``weight`` is 0."""
    weight: float = 0.0
    """The challenger's share by which the request was routed; 0: it was not."""


def row_ids(ids: list[str], rows: int) -> list[str]:
    """Name the rows of a request that has one id: ``<id>#0``, ``<id>#1``, ..."""
    if len(ids) == rows:
        return ids
    return [f"{ids[0]}#{row}" for row in range(rows)]


class FeedbackRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The truth about one prediction."""

    time: int
    """Microseconds since the epoch."""
    id: str
    label: str
    """A JSON scalar."""


def frame(payload: bytes) -> bytes:
    """Wrap a payload so that a reader sees whether it is whole."""
    return _HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def frames(data: bytes) -> Iterator[memoryview]:
    """Yield the payloads up to the first frame that is torn or damaged."""
    view = memoryview(data)
    at = 0
    while at + _HEAD.size <= len(view):
        length, checksum = _HEAD.unpack_from(view, at)
        payload = view[at + _HEAD.size : at + _HEAD.size + length]
        if len(payload) != length or length == 0 or zlib.crc32(payload) != checksum:
            return
        yield payload
        at += _HEAD.size + length


_decode_head = msgspec.msgpack.Decoder(SegmentHead).decode
_decode_prediction = msgspec.msgpack.Decoder(PredictionRecord).decode
_decode_feedback = msgspec.msgpack.Decoder(FeedbackRecord).decode


class Segment(msgspec.Struct, frozen=True):
    """A segment, read back."""

    head: SegmentHead
    predictions: list[PredictionRecord]
    feedback: list[FeedbackRecord]

    @property
    def rows(self) -> int:
        """Rows that it puts into the store."""
        return sum(record.rows for record in self.predictions) + len(self.feedback)


def read_segment(path: Path) -> Segment | None:
    """Read a segment; None where not even its head is whole (nothing was ever logged in it)."""
    payloads = frames(path.read_bytes())
    first = next(payloads, None)
    if first is None:
        return None
    head = _decode_head(first)
    if head.kind == "predictions":
        return Segment(head, [_decode_prediction(p) for p in payloads], [])
    return Segment(head, [], [_decode_feedback(p) for p in payloads])
