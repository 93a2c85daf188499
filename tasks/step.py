"""The decorator of every task."""

from __future__ import annotations

from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import State

from perennial.errors import PerennialError, StoreError

step = partial(task, cache_policy=NO_CACHE)
"""A task that is run each time it is called: its inputs are references into the store, and what it
did before says nothing about what the store holds now."""


def may_pass(_task: object, _run: object, state: State[Any]) -> bool:
    """A ``retry_condition_fn``: whether a failure may be gone the next time.

    What is wrong with a declaration, a source or a model is as wrong a moment later.
    """
    try:
        state.result()
    except StoreError:
        return True
    except PerennialError:
        return False
    except Exception:
        return True
    return False
