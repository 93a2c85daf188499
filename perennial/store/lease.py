"""Who may change a pipeline now: a lease with a fencing token.

The token grows with every holder. What a holder writes carries it, so that a holder which was
paused past its lease is recognised (Kleppmann, "How to do distributed locking", 2016).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pydantic import AwareDatetime, BaseModel, ConfigDict

from perennial.errors import Conflict, LeaseHeld, LeaseLost
from perennial.store import layout
from perennial.store.objects import Store

DEFAULT_TTL = timedelta(seconds=45)


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


class LeaseRecord(BaseModel):
    """What ``lease.json`` says."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    token: int
    holder: str
    expires_at: AwareDatetime


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
            self._swap(self._clock() + self._ttl)

    def release(self) -> None:
        """Give it back at once; the token stays used.

        Raises:
            LeaseLost: somebody else holds it by now.
        """
        with self._lock:
            self._swap(self._clock())

    def _swap(self, expires_at: datetime) -> None:
        key = self._key
        record = self._record.model_copy(update={"expires_at": expires_at})
        try:
            self._etag = self._store.put_json(key, record, if_match=self._etag)
        except Conflict:
            self._etag = self._store.put_json(key, record, if_match=self._own_etag(key))
        self._record = record

    def _own_etag(self, key: str) -> str:
        """The lease's ETag where our own write arrived though its answer was lost."""
        current = self._store.get(key)
        stored = LeaseRecord.model_validate_json(current.data)
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
    clock: Callable[[], datetime] = utc_now,
) -> Lease:
    """Take the lease on a pipeline; the same holder takes its own again at once (a retried run).

    Args:
        key: of another lease than the one under which the pipeline is changed.

    Raises:
        LeaseHeld: another run holds it and it has not run out.
    """
    key = key or layout.lease(pipeline)
    current = store.find(key)
    record = LeaseRecord(token=1, holder=holder, expires_at=clock() + ttl)
    try:
        if current is None:
            etag = store.put_json(key, record, if_absent=True)
        else:
            held = LeaseRecord.model_validate_json(current.data)
            if held.holder != holder and held.expires_at > clock():
                raise LeaseHeld(
                    f"{held.holder} holds the lease on {pipeline} until "
                    f"{held.expires_at:%H:%M:%S} UTC"
                )
            record = record.model_copy(update={"token": held.token + 1})
            etag = store.put_json(key, record, if_match=current.etag)
    except Conflict:
        raise LeaseHeld(f"another run took the lease on {pipeline} at the same time") from None
    return Lease(store, key, pipeline, record, etag, ttl=ttl, clock=clock)
