"""Hold the lease on a pipeline for the length of a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from prefect.logging import get_run_logger

from perennial.errors import LeaseHeld, LeaseLost, StoreError
from perennial.store import Lease, acquire_lease, layout
from perennial.store.lease import DEFAULT_TTL
from tasks.connection import store

_WATCH_TTL = timedelta(seconds=10)
"""A watch that was killed is taken over after this time."""
_BETWEEN_TRIES = 1.0


@contextmanager
def held_lease(pipeline: str, holder: str) -> Iterator[Lease]:
    """Take the lease, renew it in the background, give it back at the end.

    Raises:
        LeaseHeld: another run holds it.
    """
    with _held(acquire_lease(store(), pipeline, holder), DEFAULT_TTL) as lease:
        yield lease


@contextmanager
def held_watch(pipeline: str, holder: str) -> Iterator[Lease]:
    """Be the one who watches a pipeline's rollout; it spares the others the work, and fences
    nothing.

    A watch that was killed may hold it a while longer: whoever comes next waits for that.

    Raises:
        LeaseHeld: another run watches it, and lives.
    """
    with _held(_await_watch(pipeline, holder), _WATCH_TTL) as lease:
        yield lease


def _await_watch(pipeline: str, holder: str) -> Lease:
    key, until = layout.rollout_lease(pipeline), time.monotonic() + _WATCH_TTL.total_seconds()
    while True:
        try:
            return acquire_lease(store(), pipeline, holder, key=key, ttl=_WATCH_TTL)
        except LeaseHeld:
            if time.monotonic() > until:
                raise
        time.sleep(_BETWEEN_TRIES)


@contextmanager
def _held(lease: Lease, ttl: timedelta) -> Iterator[Lease]:
    """Renew a lease in the background, give it back at the end."""
    logger = get_run_logger()
    done = threading.Event()

    def keep() -> None:
        while not done.wait(ttl.total_seconds() / 3):
            try:
                lease.renew()
            except LeaseLost as error:
                logger.warning("%s", error)
                return
            except StoreError as error:
                logger.warning("the lease could not be renewed, trying again: %s", error)

    keeper = threading.Thread(target=keep, name="lease", daemon=True)
    keeper.start()
    try:
        yield lease
    finally:
        done.set()
        keeper.join()
        try:
            lease.release()
        except LeaseLost as error:
            logger.warning("%s", error)
