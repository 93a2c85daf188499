"""Real processes on the real store."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from perennial.store import layout
from tests.datasets.test_compaction import ids, keys, numbered, run

ROOT = Path(__file__).parents[2]
SEGMENTS, ROWS = 200, 5


def compacting(settings):
    environment = {
        **os.environ,
        "PERENNIAL_S3_ENDPOINT": settings.s3_endpoint,
        "PERENNIAL_BUCKET": settings.bucket,
        "AWS_ACCESS_KEY_ID": settings.access_key,
        "AWS_SECRET_ACCESS_KEY": settings.secret_key,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "tests.datasets.compacting"]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE)


def test_two_compactions_killed_again_and_again_beside_a_server_and_a_reader(store, settings, log):
    uploads = threading.Thread(
        target=lambda: [log.predictions(ROWS) for _ in range(SEGMENTS)], daemon=True
    )
    processes = [compacting(settings), compacting(settings)]
    try:
        for kill in range(4):
            processes[0].stdout.readline()
            if kill == 0:
                uploads.start()
            before = log.rows - ROWS  # the newest may still be on its way
            found = ids(store)
            assert found == numbered(len(found))
            assert len(found) >= before
            time.sleep(0.1 * kill)
            end(processes.pop(0))
            processes.append(compacting(settings))
        uploads.join()
    finally:
        for process in processes:
            end(process)
    assert ids(store) == numbered(SEGMENTS * ROWS)
    run(store, rows=60)
    assert ids(store) == numbered(SEGMENTS * ROWS)
    assert any(layout.is_merged(key) for key in keys(store))


def end(process):
    process.kill()
    process.wait()
