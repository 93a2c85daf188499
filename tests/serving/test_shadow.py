"""Shadow requests wait for nobody and hold nobody up."""

from __future__ import annotations

import threading

from perennial.errors import ModelError
from perennial.serving.shadow import ShadowRunner


def test_beyond_the_bound_shadows_are_dropped_and_counted_at_once() -> None:
    counts = {"dropped": 0, "failed": 0}
    done: list[int] = []
    begun, gate = threading.Event(), threading.Event()

    def count(what: str) -> None:
        counts[what] += 1

    runner = ShadowRunner(2, on_drop=lambda: count("dropped"), on_failure=lambda: count("failed"))

    def hold() -> None:
        begun.set()
        gate.wait(10)

    def fail() -> None:
        raise ModelError("broken")

    runner.submit(hold)
    assert begun.wait(5)
    runner.submit(fail)
    runner.submit(lambda: done.append(1))
    for _ in range(3):
        runner.submit(lambda: done.append(2))
    assert (counts, runner.waiting, done) == ({"dropped": 3, "failed": 0}, 2, [])
    gate.set()
    runner.close()
    assert (counts, done) == ({"dropped": 3, "failed": 1}, [1])
