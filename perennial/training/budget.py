"""Wall time for the fits of one training."""

from __future__ import annotations

from collections.abc import Callable


class Budget:
    """Seconds to spend, and the pace of this machine.

    Estimators guess their cost in seconds of some machine. The fits done so far tell how this one
    compares, and so how long a next fit would take here.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._start = clock()
        self._guessed = 0.0
        self._taken = 0.0

    def spent(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._start

    def left(self) -> float:
        """Seconds that remain; negative when overrun."""
        return self._seconds - self.spent()

    def record(self, guess: float, seconds: float) -> None:
        """Learn what a fit guessed at ``guess`` has taken."""
        self._guessed += guess
        self._taken += seconds

    def expect(self, guess: float) -> float:
        """Say how long a fit guessed at ``guess`` would take here."""
        return guess * (self._taken / self._guessed if self._guessed else 1.0)
