"""Hold the lease on a pipeline for the length of a run."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from perennial.errors import LeaseLost, StoreError
from perennial.store import Lease, acquire_lease, layout
from perennial.store.lease import DEFAULT_TTL, TAKE_OVER
from tasks.connection import store

_WATCH_TTL = timedelta(seconds=10)


@contextmanager
def held_lease(pipeline: str, holder: str, *, patience: timedelta = TAKE_OVER) -> Iterator[Lease]:
    """Take the lease, renew it in the background, give it back at the end.

    Args:
        holder: ends with the id of its flow run, in brackets.
        patience: how long to wait for another holder that lives; one that has ended is followed at
            once, or, where Prefect does not know that it has, after the lease's span.

    Raises:
        LeaseHeld: another run holds it.
    """
    lease = acquire_lease(store(), pipeline, holder, patience=patience, has_ended=has_ended)
    with _held(lease, DEFAULT_TTL) as lease:
        yield lease


@contextmanager
def held_watch(pipeline: str, holder: str) -> Iterator[Lease]:
    """Be the one who watches a pipeline's rollout; it spares the others the work, and fences
    nothing.

    Raises:
        LeaseHeld: another run watches it, and lives.
    """
    with _alone(pipeline, holder, layout.rollout_lease(pipeline)) as lease:
        yield lease


@contextmanager
def held_look(pipeline: str, holder: str) -> Iterator[Lease]:
    """Be the one who judges a pipeline's windows: looks that last longer than their schedule's
    period do not pile up.

    Raises:
        LeaseHeld: another run looks, and lives.
    """
    with _alone(pipeline, holder, layout.look_lease(pipeline)) as lease:
        yield lease


@contextmanager
def _alone(pipeline: str, holder: str, key: str) -> Iterator[Lease]:
    """Hold a short lease that fences nothing. A run that was killed may hold it a while longer:
    whoever comes next waits for that."""
    lease = acquire_lease(
        store(),
        pipeline,
        holder,
        key=key,
        ttl=_WATCH_TTL,
        patience=_WATCH_TTL + timedelta(seconds=1),
        has_ended=has_ended,
    )
    with _held(lease, _WATCH_TTL) as lease:
        yield lease


def has_ended(holder: str) -> bool:
    """Tell whether Prefect knows that a holder's flow run has ended; False where it cannot say."""
    run = re.search(r"\(([0-9a-f-]{36})\)$", holder)
    if run is None:
        return False
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(UUID(run[1])).state
    except (ObjectNotFound, httpx.HTTPError):
        return False
    return state is not None and state.is_final()


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
