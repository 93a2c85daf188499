"""The store that this run works on."""

from __future__ import annotations

from functools import cache

from perennial.settings import Settings
from perennial.store import Store, open_store


@cache
def settings() -> Settings:
    """Addresses and keys, from the environment of the run."""
    return Settings.load()


@cache
def store() -> Store:
    """The bucket; one connection pool a process."""
    return open_store(settings())


def fetch(bucket: str, key: str) -> bytes:
    """Read an object of any bucket that the run's credentials may read."""
    other = Settings(**{**vars(settings()), "bucket": bucket})
    return open_store(other).get(key).data
