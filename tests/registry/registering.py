"""A registration as a process of its own, which may be killed at any of its writes.

``python -m tests.registry.registering once RUN KILL_AT``: the whole of it, dead right after write
number KILL_AT (0: never). Prints how many writes it made.
``python -m tests.registry.registering race RUN SECONDS``: again and again, beside others.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from perennial.errors import Conflict, LeaseError
from perennial.packaging.signature import Signature
from perennial.registry import (
    Lineage,
    Manifest,
    Recipe,
    change_state,
    new_entry,
    next_version,
    read_state,
    register,
    write_file,
)
from perennial.rollout.stages import challenge
from perennial.settings import Settings
from perennial.spec import Rollout
from perennial.store import Lease, Store, acquire_lease, open_store
from perennial.store.lease import utc_now

PIPELINE = "p"
FILES = ("model.onnx", "signature.json", "reference.parquet", "gate.json", "model.html")
SIGNATURE = Signature(task="regression", target="y", features=())


class MortalStore(Store):
    """Dies after a number of writes."""

    def __init__(self, store: Store, kill_at: int) -> None:
        super().__init__(store._client, store.bucket, endpoint=store.endpoint)
        self.kill_at = kill_at
        self.writes = 0

    def put(self, *arguments, **options) -> str:
        etag = super().put(*arguments, **options)
        self.writes += 1
        if self.writes == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return etag


def registration(store: Store, lease: Lease, run: str) -> str:
    """Register a version and name it challenger, in the order of the retrain flow."""
    model = f"graph of {run} under {lease.token}".encode()
    version = next_version(store, PIPELINE, model)
    content = {name: f"{name} of {run}".encode() for name in FILES[2:]}
    content |= {"model.onnx": model, "signature.json": SIGNATURE.model_dump_json().encode()}
    files = {
        name: write_file(store, PIPELINE, version, name, data) for name, data in content.items()
    }
    lineage = Lineage(
        snapshot="0", spec="0", code="0", environment={}, seed=0, parent=None, reason="a test",
        cause=None, run=run, recipe=Recipe(trained_rows=0, trial_rows=0, judged_rows=0),
        estimator="linear",
    )  # fmt: skip
    manifest = Manifest(
        pipeline=PIPELINE,
        version=version,
        task="regression",
        created_at=utc_now(),
        fence=lease.token,
        files=files,
        lineage=lineage,
    )
    register(store, lease, manifest)
    change_state(
        store,
        PIPELINE,
        lambda state: challenge(state, version, Rollout(newer="supersede")),
        new_entry("version.registered", version=version, reason="a test", by=run),
        fence=lease.token,
    )
    return version


def once(store: Store, run: str, kill_at: int) -> None:
    mortal = MortalStore(store, kill_at)
    lease = acquire_lease(mortal, PIPELINE, run)
    registration(mortal, lease, run)
    lease.release()
    print(mortal.writes)


def race(store: Store, run: str, seconds: float) -> None:
    """Register and swap until the time is over; count the rounds that were won."""
    won, fence, end = 0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        seen = read_state(store, PIPELINE).state.fence
        assert seen >= fence, f"the fence went back from {fence} to {seen}"
        fence = seen
        try:
            lease = acquire_lease(store, PIPELINE, f"{run} {won}")
            registration(store, lease, f"{run} {won}")
            lease.release()
            won += 1
        except (LeaseError, Conflict):
            time.sleep(0.01)
    print(won)


if __name__ == "__main__":
    what, name, number = sys.argv[1:]
    opened = open_store(Settings.load())
    if what == "once":
        once(opened, name, int(number))
    else:
        race(opened, name, float(number))
