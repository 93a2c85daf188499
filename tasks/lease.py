"""Hold the lease on a pipeline for the length of a run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.logging import get_run_logger

from perennial.errors import LeaseLost, StoreError
from perennial.store import Lease, acquire_lease
from perennial.store.lease import DEFAULT_TTL
from tasks.connection import store


@contextmanager
def held_lease(pipeline: str, holder: str) -> Iterator[Lease]:
    """Take the lease, renew it in the background, give it back at the end.

    Raises:
        LeaseHeld: another run holds it.
    """
    lease = acquire_lease(store(), pipeline, holder)
    logger = get_run_logger()
    done = threading.Event()

    def keep() -> None:
        while not done.wait(DEFAULT_TTL.total_seconds() / 3):
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
