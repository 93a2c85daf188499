"""Shadow requests: run after the answer has gone, dropped first when there is too much to do."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable

from perennial.errors import PerennialError

logger = logging.getLogger(__name__)

_NICE = 10


def yield_to_others() -> None:
    """Lower the priority of the calling thread, where the system has one for each thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


class ShadowRunner:
    """One thread, of lower priority than the answers where the system allows it.

    Args:
        bound: how many may wait.
        on_drop: called for each one that was dropped.
        on_failure: called for each one that failed.
    """

    def __init__(
        self, bound: int, *, on_drop: Callable[[], None], on_failure: Callable[[], None]
    ) -> None:
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(bound)
        self._on_drop = on_drop
        self._on_failure = on_failure
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> None:
        """Take a shadow request, or drop it; never blocks."""
        try:
            self._queue.put_nowait(job)
        except queue.Full:
            self._on_drop()

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        yield_to_others()
        while (job := self._queue.get()) is not None:
            try:
                job()
            except PerennialError as error:
                self._on_failure()
                logger.warning("a shadow request failed: %s", error)
