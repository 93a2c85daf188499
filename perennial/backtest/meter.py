"""What a replay spends on models."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from perennial.threads import one_thread


@dataclass
class Meter:
    """Counts fits, and the CPU time of what is done under `counted`."""

    fits: int = 0
    cpu_seconds: float = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count this thread's work, and keep the others from waiting for some."""
        with one_thread():  # others that wait for work would count, too
            started = time.process_time()
            yield
            self.cpu_seconds += time.process_time() - started
