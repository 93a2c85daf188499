"""Try a store before trusting it: everything rests on its conditional writes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from threading import Barrier

from ulid import ULID

from perennial.errors import Conflict, StoreError
from perennial.store import layout
from perennial.store.objects import Store


def probe(store: Store) -> None:
    """Make the bucket where it is missing, and see that both conditions are honoured.

    Raises:
        StoreError: the store cannot be reached, refuses the credentials, lacks the bucket and may
            not make it, or ignores If-None-Match or If-Match.
    """
    store.ensure_bucket()
    key = layout.probe(str(ULID()))
    first = store.put(key, b"first", if_absent=True)
    try:
        _must_refuse(store, key, "If-None-Match", if_absent=True)
        store.put(key, b"second", if_match=first)
        _must_refuse(store, key, "If-Match", if_match=first)
    finally:
        store.delete(key)


_EVERY = timedelta(days=1)


def race_daily(store: Store, now: datetime) -> bool:
    """`race` unless that was done within a day; tell whether it was done now.

    Raises:
        StoreError: as `race`.
    """
    last = next(store.scan(layout.probe("raced")), None)
    if last is not None and now - last.modified < _EVERY:
        return False
    race(store)
    store.put(layout.probe("raced"), b"")
    return True


def race(store: Store, writers: int = 16) -> None:
    """See that of many writers at once just one wins: a store may check a condition, and then
    write.

    Raises:
        StoreError: none won, or several did.
    """
    key = layout.probe(str(ULID()))
    try:
        _race(store, writers, "If-None-Match", partial(store.put, key, if_absent=True))
        etag = store.put(key, b"first")
        _race(store, writers, "If-Match", partial(store.put, key, if_match=etag))
    finally:
        store.delete(key)


def _race(store: Store, writers: int, header: str, write: Callable[[bytes], str]) -> None:
    ready = Barrier(writers)

    def wins(writer: int) -> bool:
        ready.wait()
        try:
            write(b"%d" % writer)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(writers) as pool:
        won = sum(pool.map(wins, range(writers)))
    if won != 1:
        raise StoreError(
            f"the store at {store.endpoint or 'S3'} let {won} of {writers} writers at once win by "
            f"{header}: it checks the condition and then writes, so Perennial cannot run on it"
        )


def _must_refuse(
    store: Store, key: str, header: str, *, if_absent: bool = False, if_match: str | None = None
) -> None:
    try:
        store.put(key, b"wrong", if_absent=if_absent, if_match=if_match)
    except Conflict:
        return
    raise StoreError(
        f"the store at {store.endpoint or 'S3'} ignores {header}: two writers could both win, "
        "so Perennial cannot run on it; use a server with conditional writes"
    )
