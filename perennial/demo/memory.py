"""How much memory the stack takes at its peak."""

from __future__ import annotations

import threading

import psutil

_EVERY = 0.5


class MemoryWatch:
    """Adds up the resident memory of processes and all their children, and keeps the peak.

    Pages that a forked child shares with its parent are counted for both.
    """

    def __init__(self, roots: list[int]) -> None:
        self._roots = roots
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self.peak_mb = 0.0

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(_EVERY):
            self.peak_mb = max(self.peak_mb, resident_mb(self._roots))


def resident_mb(roots: list[int]) -> float:
    """Resident memory of the processes under ``roots``, in MB; one that has ended counts 0."""
    total = 0
    for root in roots:
        try:
            parent = psutil.Process(root)
            family = [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for process in family:
            try:
                total += process.memory_info().rss
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
    return total / 1e6
