"""Try a store before trusting it: everything rests on its conditional writes."""

from __future__ import annotations

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
