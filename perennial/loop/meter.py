"""What making models takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from perennial.threads import one_thread


class Stopwatch:
    """How long a piece of work takes, and what of the processor; it runs from its creation on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        """Gone by on the wall."""
        return time.perf_counter() - self._wall

    @property
    def cpu_seconds(self) -> float:
        """That this process has taken on all cores."""
        return time.process_time() - self._cpu


@dataclass
class Meter:
    """Counts fits, and the CPU time of fits and trials: what is done under `counted`."""

    fits: int = 0
    cpu_seconds: float = 0.0

    @contextmanager
    def counted(self, fits: int = 0) -> Iterator[None]:
        """Count this process's work, and keep other threads from waiting for some."""
        with one_thread():  # others that wait for work would count, too
            watch = Stopwatch()
            yield
            self.cpu_seconds += watch.cpu_seconds
            self.fits += fits
