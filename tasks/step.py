"""The decorator of every task."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import CancelledRun, FailedRun, MissingContextError
from prefect.logging import get_run_logger
from prefect.states import Completed, State

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


class PlainWords(logging.Filter):
    """Keeps a run's log to what happened.

    What Perennial raises on purpose is told in its one line, without a stack; what it does not
    expect keeps its own. That a step has ended well goes without saying. The exception by which
    Prefect's engine leaves a run that has ended in a state of its flow's choice says nothing that
    the state does not.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let a record pass, in one line where that is enough."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, (FailedRun, CancelledRun)) or record.msg == _ENDED_WELL:
            return False
        if isinstance(error, PerennialError):
            record.msg, record.args, record.exc_info = str(error), (), None
        return True


class IntoRun(logging.Handler):
    """Hands on to the log of the run what the loop says, which knows of no run."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record in the run that is under way here, if one is."""
        try:
            logger = get_run_logger()
        except MissingContextError:
            return
        logger.log(record.levelno, record.getMessage())


logging.getLogger("perennial.loop").addHandler(IntoRun(logging.INFO))
logging.getLogger("perennial.loop").setLevel(logging.INFO)

_ENDED_WELL = f"Finished in state {Completed()}"

for _name in ("prefect.task_runs", "prefect.flow_runs"):
    logging.getLogger(_name).addFilter(PlainWords())
