"""What a worker writes before an answer leaves: predictions and feedback.

A record is handed to the operating system by one write on a file opened for appending. Nothing is
fsynced: a killed process loses nothing, a machine that loses power may lose its last second.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import msgspec

from perennial.serving.segment import (
    CLOSED,
    OPEN,
    FeedbackRecord,
    Kind,
    LogFull,
    PredictionRecord,
    SegmentHead,
    frame,
)

_encode = msgspec.msgpack.Encoder().encode


class _OpenSegment:
    """A file that records are appended to."""

    def __init__(self, path: Path, head: SegmentHead) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self.opened = self.touched = time.monotonic()
        self.size = 0
        try:
            self.append(frame(_encode(head)))
        except LogFull:
            os.close(self._fd)
            path.unlink()
            raise
        self._head = self.size

    @property
    def grown(self) -> int:
        """Bytes of its records."""
        return self.size - self._head

    def append(self, data: bytes) -> None:
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise LogFull(f"the log cannot be written: {error.strerror}") from error
        if written != len(data):
            os.ftruncate(self._fd, self.size)
            raise LogFull("the log cannot be written: the disk is full")
        self.size += written
        self.touched = time.monotonic()

    def close(self) -> None:
        os.close(self._fd)
        self._path.rename(self._path.with_suffix(CLOSED))


SMALL = 4096
SMALL_PATIENCE = 10
SMALL_QUIET = 1.5
"""A segment with fewer bytes of records waits so many times as long for more, or until none came
for that long. Of a request a second the store gets a tenth of the objects, and so does whoever
reads a window of them; what comes at once goes at once."""


class Log:
    """The segments that one worker has open. Safe to share between threads.

    Args:
        directory: ``DIR/log``.
        writer: names this worker; no two processes may share it.
        segment_size, segment_age: when a segment is closed, in bytes and seconds.
        bound: bytes that may wait for the store.
    """

    def __init__(
        self, directory: Path, writer: str, *, segment_size: int, segment_age: float, bound: int
    ) -> None:
        self._directory = directory
        self._writer = writer
        self._segment_size = segment_size
        self._segment_age = segment_age
        self._bound = bound
        self._open: dict[tuple[str, str | None], _OpenSegment] = {}
        self._lock = threading.Lock()
        self._count = 0
        self.waiting = 0
        """Bytes that wait for the store, all workers together, as last counted by the uploader."""

    def predictions(self, pipeline: str, signature: str, record: PredictionRecord) -> None:
        """Append answered rows.

        Raises:
            LogFull: the record is not in the log, so its answer may not leave.
        """
        self._append(pipeline, "predictions", signature, frame(_encode(record)))

    def batch(self, pipeline: str, signature: str, records: list[PredictionRecord]) -> None:
        """Append the rows of several models by one write, all of them or none.

        Raises:
            LogFull: as `predictions`.
        """
        data = b"".join(frame(_encode(record)) for record in records)
        self._append(pipeline, "predictions", signature, data)

    def feedback(self, pipeline: str, records: list[FeedbackRecord]) -> None:
        """Append labels, all of them or none.

        Raises:
            LogFull: the records are not in the log, so they may not be acknowledged.
        """
        self._append(
            pipeline, "feedback", None, b"".join(frame(_encode(record)) for record in records)
        )

    def _append(self, pipeline: str, kind: Kind, signature: str | None, data: bytes) -> None:
        if self.waiting > self._bound:
            raise LogFull(f"{self.waiting} bytes of log wait for the store, the bound is reached")
        key = (pipeline, signature)
        with self._lock:
            segment = self._open.get(key)
            if segment is None:
                segment = self._open[key] = self._start(pipeline, kind, signature)
            segment.append(data)
            if segment.size >= self._segment_size:
                self._open.pop(key).close()

    def _start(self, pipeline: str, kind: Kind, signature: str | None) -> _OpenSegment:
        self._count += 1
        path = self._directory / pipeline / kind / f"{self._writer}-{self._count}{OPEN}"
        try:
            return _OpenSegment(path, SegmentHead(pipeline, kind, signature))
        except OSError as error:
            raise LogFull(f"the log cannot be written: {error.strerror}") from error

    def close_old(self) -> None:
        """Close the segments that have reached their age."""
        now = time.monotonic()
        with self._lock:
            for key, segment in [*self._open.items()]:
                age, quiet = now - segment.opened, now - segment.touched
                few = segment.grown < SMALL and quiet < SMALL_QUIET * self._segment_age
                if age >= self._segment_age * (SMALL_PATIENCE if few else 1):
                    self._open.pop(key).close()

    def close(self) -> None:
        """Close all segments: nothing will be appended any more."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()
