"""Fits on one thread.

Sums in another order are other sums: a fit that is spread over threads differs in its last bits
from machine to machine, and a version could not be made again from its data and seed. One thread
also leaves the other cores to what is being served meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS and OpenMP pools of the libraries loaded so far to one thread."""
    with threadpool_limits(limits=1):
        yield
