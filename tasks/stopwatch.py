"""How long a piece of work takes, and what of the processor."""

from __future__ import annotations

import time


class Stopwatch:
    """Runs from its creation on."""

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
