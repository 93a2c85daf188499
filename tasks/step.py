"""The decorator of every task."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.states import State

from perennial.errors import Damaged, PerennialError, StoreError


def may_pass(_task: object, _run: object, state: State[Any]) -> bool:
    """A ``retry_condition_fn``: whether a failure may be gone the next time.

    What is wrong with a declaration, a source or a model is as wrong a moment later.
    """
    try:
        state.result()
    except Damaged:
        return False
    except StoreError:
        return True
    except PerennialError:
        return False
    except Exception:
        return True
    return False


step = partial(task, cache_policy=NO_CACHE, retry_condition_fn=may_pass)
"""A task that is run each time it is called: its inputs are references into the store, and what it
did before says nothing about what the store holds now. What no repetition will mend is not
repeated."""


class OneLine(logging.Filter):
    """What Perennial raises on purpose is told in its one line, without a stack."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, PerennialError):
            record.msg, record.args, record.exc_info = str(error), (), None
        return True


for _name in ("prefect.task_runs", "prefect.flow_runs"):
    logging.getLogger(_name).addFilter(OneLine())
