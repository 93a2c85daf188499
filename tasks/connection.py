"""The store that this run works on."""

from __future__ import annotations

from functools import cache

from perennial.settings import Settings
from perennial.store import Store, open_store, probe


@cache
def settings() -> Settings:
    """Addresses and keys, from the environment of the run."""
    return Settings.load()


@cache
def store() -> Store:
    """The bucket, tried before it is trusted; one connection pool a process.

    Raises:
        StoreError: it cannot be reached, refuses the credentials, or ignores conditional writes.
    """
    opened = open_store(settings())
    probe(opened)
    return opened


@cache
def store_of(bucket: str) -> Store:
    """Any bucket that the run's credentials may read; one connection pool a process."""
    return open_store(Settings(**{**vars(settings()), "bucket": bucket}))


def fetch(bucket: str, key: str) -> bytes:
    """Read an object of any bucket that the run's credentials may read."""
    return store_of(bucket).get(key).data
