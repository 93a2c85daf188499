"""Who may change a pipeline now: a lease with a fencing token.

The token grows with every holder. What a holder writes carries it, so that a holder which was
paused past its lease is recognised (Kleppmann, "How to do distributed locking", 2016).

No clock is compared with another one's: a lease is over when its holder gives it back, when its
holder is known to have ended, or when whoever waits for it has seen it unrenewed for its whole
span, by its own monotonic clock.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.errors import Conflict, LeaseHeld, LeaseLost
from perennial.store import layout
from perennial.store.objects import Store, StoredObject
from perennial.store.records import read_record

DEFAULT_TTL = timedelta(seconds=45)
TAKE_OVER = DEFAULT_TTL + timedelta(seconds=5)
"""Patience that is enough to see that a holder has died."""
CLOCK_OFFSET = "PERENNIAL_CLOCK_OFFSET"
"""Seconds by which a process's wall clock is wrong: for tests of what a clock that jumps can do."""
_BETWEEN_LOOKS = 0.5


def utc_now() -> datetime:
    """The wall clock, in UTC. It may jump: nothing is decided by comparing it with another one."""
    return datetime.now(UTC) + timedelta(seconds=float(os.environ.get(CLOCK_OFFSET, "0")))


class LeaseRecord(BaseModel):
    """What ``lease.json`` says."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    token: int
    holder: str
    expires_at: AwareDatetime
    """By the holder's clock, for people to read; each renewal changes it."""
    span: float = DEFAULT_TTL.total_seconds()
    """Seconds without a renewal after which the holder is taken for dead."""
    released: bool = False


class Lease:
    """A lease in hand. ``token`` is the fence for everything written under it.

    Safe to renew from a thread of its own while another one writes.
    """

    def __init__(
        self,
        store: Store,
        key: str,
        pipeline: str,
        record: LeaseRecord,
        etag: str,
        *,
        ttl: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._key = key
        self._record = record
        self._etag = etag
        self._ttl = ttl
        self._clock = clock
        self._lock = threading.Lock()
        self.pipeline = pipeline

    @property
    def token(self) -> int:
        """The fencing token, above that of every earlier holder."""
        return self._record.token

    @property
    def holder(self) -> str:
        """Who holds it: the name of a run."""
        return self._record.holder

    def renew(self) -> None:
        """Hold it for a further span, starting now.

        Raises:
            LeaseLost: it ran out and somebody else took it.
        """
        with self._lock:
            self._swap(self._clock() + self._ttl, released=False)

    def release(self) -> None:
        """Give it back at once; the token stays used.

        Raises:
            LeaseLost: somebody else holds it by now.
        """
        with self._lock:
            self._swap(self._clock(), released=True)

    def _swap(self, expires_at: datetime, *, released: bool) -> None:
        key = self._key
        update = {"expires_at": expires_at, "released": released}
        record = self._record.model_copy(update=update)
        try:
            self._etag = self._store.put_json(key, record, if_match=self._etag)
        except Conflict:
            self._etag = self._store.put_json(key, record, if_match=self._own_etag(key))
        self._record = record

    def _own_etag(self, key: str) -> str:
        """The lease's ETag where our own write arrived though its answer was lost."""
        current = self._store.get(key)
        stored = read_record(LeaseRecord, current)
        if (stored.token, stored.holder) != (self.token, self.holder):
            raise LeaseLost(
                f"{self.holder} lost the lease on {self.pipeline}: it may not change it any more"
            )
        return current.etag


def acquire_lease(
    store: Store,
    pipeline: str,
    holder: str,
    *,
    key: str | None = None,
    ttl: timedelta = DEFAULT_TTL,
    patience: timedelta = timedelta(0),
    has_ended: Callable[[str], bool] = lambda _: False,
    clock: Callable[[], datetime] = utc_now,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Lease:
    """Take the lease on a pipeline; the same holder takes its own again at once (a retried run).

    Args:
        key: of another lease than the one under which the pipeline is changed.
        ttl: how long it is held without a renewal.
        patience: how long to wait for another holder; `TAKE_OVER` sees that one has died.
        has_ended: whether a holder is known to have ended, whatever the lease says.

    Raises:
        LeaseHeld: another run holds it, and was not seen to die while we waited.
    """
    key = key or layout.lease(pipeline)
    began = monotonic()
    seen: tuple[str, float] | None = None
    """The lease's ETag, and when it was first seen."""
    while True:
        current = store.find(key)
        if current is None:
            return _take(store, key, pipeline, holder, None, ttl=ttl, clock=clock)
        held = read_record(LeaseRecord, current)
        now = monotonic()
        if seen is None or seen[0] != current.etag:
            seen = current.etag, now
        silent = now - seen[1] >= held.span
        if held.released or held.holder == holder or silent or has_ended(held.holder):
            return _take(store, key, pipeline, holder, current, ttl=ttl, clock=clock)
        if now - began >= patience.total_seconds():
            raise LeaseHeld(
                f"{held.holder} holds the lease on {pipeline} until {held.expires_at:%H:%M:%S} UTC"
            )
        sleep(_BETWEEN_LOOKS)


def _take(
    store: Store,
    key: str,
    pipeline: str,
    holder: str,
    current: StoredObject | None,
    *,
    ttl: timedelta,
    clock: Callable[[], datetime],
) -> Lease:
    """Write a lease of our own over the one that is over.

    Raises:
        LeaseHeld: another run was faster.
    """
    token = 1
    if current is not None:
        token = read_record(LeaseRecord, current).token + 1
    record = LeaseRecord(
        token=token, holder=holder, expires_at=clock() + ttl, span=ttl.total_seconds()
    )
    etag = None if current is None else current.etag
    try:
        etag = store.put_json(key, record, if_absent=current is None, if_match=etag)
    except Conflict:
        raise LeaseHeld(f"another run took the lease on {pipeline} at the same time") from None
    return Lease(store, key, pipeline, record, etag, ttl=ttl, clock=clock)
