"""Clients that ask all the time, and tell the truth a moment later."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from perennial.demo.client import Client

_BATCH = 25
"""Answers of one client after which it tells their truths."""
_POLL = 0.2

Rows = Callable[[int], tuple[dict[str, Any], Any]]
"""Gives the n-th row: named fields, and the truth (None: it never comes)."""


@dataclass
class Driven:
    """What became of the requests."""

    answers: Counter[str] = field(default_factory=Counter)
    """By version."""
    sent: int = 0
    failed: int = 0
    repeated: int = 0
    """Tries that met a server which was being started again."""
    seconds: float = 0.0
    over: bool = False
    """Whether what was waited for has come, and not the bound on the requests."""


class Traffic:
    """Requests to one pipeline.

    Args:
        rows: what is asked.
        tag: begins every id.
        connections: clients at a time.
        pause: seconds that each client waits after an answer.
    """

    def __init__(
        self,
        url: str,
        pipeline: str,
        rows: Rows,
        *,
        tag: str,
        connections: int = 4,
        pause: float = 0.0,
    ) -> None:
        self._url, self._pipeline, self._rows, self._tag = url, pipeline, rows, tag
        self._connections, self._pause = connections, pause
        self._numbers = itertools.count()

    def drive(self, is_over: Callable[[], bool], *, most: int) -> Driven:
        """Send requests until something is over, or ``most`` were sent."""
        driven, stop, lock = Driven(), threading.Event(), threading.Lock()
        began = time.monotonic()

        def ask() -> None:
            client, answers = Client(self._url, self._pipeline), Counter[str]()
            labels: list[tuple[str, Any]] = []
            for number in self._numbers:
                if stop.is_set() or number >= most:
                    break
                fields, truth = self._rows(number)
                name = f"{self._tag}-{number}"
                answer = client.predict(name, fields)
                if answer is not None:
                    answers[answer["version"]] += 1
                    if truth is not None:
                        labels.append((name, truth))
                if len(labels) >= _BATCH:
                    client.feedback(labels)
                    labels = []
                time.sleep(self._pause)
            client.feedback(labels)
            client.close()
            with lock:
                driven.answers += answers
                driven.sent += client.tally.sent
                driven.failed += client.tally.failed
                driven.repeated += client.tally.repeated

        threads = [threading.Thread(target=ask) for _ in range(self._connections)]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads) and not is_over():
                time.sleep(_POLL)
            driven.over = is_over()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        driven.seconds = time.monotonic() - began
        return driven
