"""The part of a server that talks to the store: models come in, the log goes out.

Two loops, each in a thread, so that a long upload never delays a new champion.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from perennial.errors import StoreError
from perennial.serving.lineup import LocalModels
from perennial.serving.metrics import SUFFIX, Metrics
from perennial.serving.mirror import Mirror
from perennial.serving.options import ServingOptions
from perennial.serving.paths import AgentStatus, ServerPaths, write_agent_status
from perennial.serving.upload import Uploader, count_waiting
from perennial.store import Store

logger = logging.getLogger(__name__)

_UPLOAD_EVERY = 0.2
_LONGEST_PAUSE = 2.0
_LONGEST_MIRROR_PAUSE = 0.8


class Agent:
    """Keeps one server's directory and the store in step.

    Args:
        by: names this server in the history.
    """

    def __init__(
        self, store: Store, paths: ServerPaths, options: ServingOptions, metrics: Metrics, by: str
    ) -> None:
        self._paths = paths
        self._options = options
        self._metrics = metrics
        self._mirror = Mirror(
            store, LocalModels(paths.models), by=by, older_runtime=options.older_runtime
        )
        self._uploader = Uploader(store, paths.log, paths.locks)
        self._stop = threading.Event()
        self._store_seen = 0.0
        self._threads = [
            threading.Thread(target=self._repeat, args=(step, pause), name=name, daemon=True)
            for name, step, pause in (
                ("mirror", self.follow, self._mirror_pause),
                ("upload", self.upload, lambda _: _UPLOAD_EVERY),
            )
        ]

    def start(self) -> None:
        """Start both loops."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both loops; what they are at is finished."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def follow(self) -> bool:
        """Bring the line-up up to date once; tell whether the store was there."""
        try:
            self._mirror.sweep()
        except StoreError as error:
            self._failed("models stay as they are", error)
            return False
        self._store_seen = time.time()
        pipelines = self._mirror.lineup.pipelines
        self._metrics.set("perennial_pipelines", len(pipelines))
        for name, placement in pipelines.items():
            self._metrics.set("perennial_models_refused", len(placement.refused), (name,))
        return True

    def upload(self) -> bool:
        """Upload all that is complete once; tell whether the store was there."""
        try:
            rows = self._uploader.run_once()
        except StoreError as error:
            self._failed("the log waits on the disk", error)
            return False
        finally:
            self._publish()
        if rows:
            self._metrics.add("perennial_log_uploaded_rows_total", amount=rows)
        return True

    def _failed(self, consequence: str, error: StoreError) -> None:
        self._metrics.add("perennial_store_failures_total")
        logger.warning("%s: %s", consequence, error)

    def _publish(self) -> None:
        waiting = count_waiting(self._paths.log)
        now = time.time()
        self._metrics.set("perennial_log_waiting_bytes", waiting.size)
        self._metrics.set("perennial_log_waiting_segments", waiting.files)
        self._metrics.set("perennial_log_broken_segments_total", self._uploader.broken)
        self._metrics.set("perennial_log_lag_seconds", now - (waiting.since or now))
        if self._store_seen:
            self._metrics.set("perennial_state_age_seconds", now - self._store_seen)
        write_agent_status(self._paths, AgentStatus(waiting.size, self._store_seen))
        self._metrics.write(self._paths.run / f"agent{SUFFIX}")

    def _mirror_pause(self, took: float) -> float:
        """With many pipelines a round takes longer, and the pause with it, within limits."""
        return max(self._options.poll, min(_LONGEST_MIRROR_PAUSE, 2 * took))

    def _repeat(self, step: Callable[[], bool], pause: Callable[[float], float]) -> None:
        """Repeat a step until the end; while the store is away less and less often."""
        failures = 0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                reached = step()
            except Exception:
                logger.exception("a round of the agent failed, the next one tries again")
                reached = False
            failures = 0 if reached else failures + 1
            wait = pause(time.monotonic() - began)
            self._stop.wait(wait if reached else min(_LONGEST_PAUSE, wait * 2**failures))
