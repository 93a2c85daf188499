"""Fits on one thread.

Sums in another order are other sums: a fit that is spread over threads differs in its last bits
from machine to machine, and a version could not be made again from its data and seed. One thread
also leaves the other cores to what is being served meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS and OpenMP pools of the libraries loaded so far to one thread."""
    with _controller(len(sys.modules)).limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _controller(modules: int) -> ThreadpoolController:
    """Find the pools; again only once more has been imported, since a search takes milliseconds."""
    del modules
    return ThreadpoolController()
