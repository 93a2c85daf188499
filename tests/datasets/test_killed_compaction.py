"""Real processes on the real store."""

import multiprocessing
import threading
import time
from datetime import UTC, datetime

from perennial.datasets.compaction import Target, compact
from perennial.store import layout, open_store
from tests.datasets.test_compaction import ids, keys, numbered, run

SEGMENTS, ROWS = 120, 5
WARM = multiprocessing.get_context("forkserver")
"""Forks of a process that has imported all of this already."""
WARM.set_forkserver_preload([__name__])


def compact_until_killed(settings, begun):
    """Compact the prediction log of ``p``, again and again."""
    store = open_store(settings)
    target = Target(60, 1 << 30, 2)
    begun.set()
    while True:
        for _ in compact(store, layout.prediction_log("p"), target, before=datetime.now(UTC)):
            pass


class Compacting:
    """A process that compacts until it is killed."""

    def __init__(self, settings):
        self.begun = WARM.Event()
        self._process = WARM.Process(target=compact_until_killed, args=(settings, self.begun))
        self._process.start()

    def end(self):
        self._process.kill()
        self._process.join()


def test_two_compactions_killed_again_and_again_beside_a_server_and_a_reader(store, settings, log):
    uploads = threading.Thread(
        target=lambda: [log.predictions(ROWS) for _ in range(SEGMENTS)], daemon=True
    )
    processes = [Compacting(settings), Compacting(settings)]
    try:
        for kill in range(6):
            assert processes[0].begun.wait(60)
            if kill == 0:
                uploads.start()
            before = log.rows - ROWS  # the newest may still be on its way
            found = ids(store)
            assert found == numbered(len(found))
            assert len(found) >= before
            time.sleep(0.1 * kill)
            processes.pop(0).end()
            processes.append(Compacting(settings))
        uploads.join()
    finally:
        for process in processes:
            process.end()
    assert ids(store) == numbered(SEGMENTS * ROWS)
    run(store, rows=60)
    assert ids(store) == numbered(SEGMENTS * ROWS)
    assert any(layout.is_merged(key) for key in keys(store))
