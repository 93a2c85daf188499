"""The decorator of every task."""

from __future__ import annotations

from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

step = partial(task, cache_policy=NO_CACHE)
"""A task that is run each time it is called: its inputs are references into the store, and what it
did before says nothing about what the store holds now."""
