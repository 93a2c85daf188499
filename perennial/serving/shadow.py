"""Shadow requests: run after the answer has gone, dropped first when there is too much to do."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from perennial.errors import PerennialError

logger = logging.getLogger(__name__)


class ShadowRunner:
    """One thread beside the answers.

    It has their priority: a thread that is made to wait while it holds the interpreter's lock would
    make them wait as well.

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

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._queue.qsize()

    def close(self) -> None:
        """Finish what waits, then stop."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                job()
            except PerennialError as error:
                self._on_failure()
                logger.warning("a shadow request failed: %s", error)
