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


def fetch(bucket: str, key: str) -> bytes:
    """Read an object of any bucket that the run's credentials may read."""
    other = Settings(**{**vars(settings()), "bucket": bucket})
    return open_store(other).get(key).data
