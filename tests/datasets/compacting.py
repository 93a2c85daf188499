"""A process that compacts the prediction log of ``p`` until it is killed."""

import os
from datetime import UTC, datetime

from perennial.datasets.compaction import Target, compact
from perennial.settings import Settings
from perennial.store import layout, open_store

if __name__ == "__main__":
    store = open_store(Settings.from_env(os.environ))
    target = Target(60, 1 << 30, 2)
    print("ready", flush=True)
    while True:
        for _ in compact(store, layout.prediction_log("p"), target, before=datetime.now(UTC)):
            pass
