"""How a run ends: in a state whose name and message say why."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from prefect.states import Cancelled, Completed, Failed, State

from flows.names import tag_run
from perennial.errors import LeaseHeld, PerennialError

P = ParamSpec("P")
MOST_TRIES = 6
"""A run that crashed is started again by an automation, which knows no end of its own."""


def outcome(name: str, message: str) -> State:
    """End a run well, under a name that says what came of it."""
    return Completed(name=name, message=message)


def notable(name: str, message: str) -> State:
    """End a run that did its work and came to what a person may want to see: a candidate that was
    refused, data that are held, a drift.

    Prefect draws a state by its type. COMPLETED is green with a tick, like any day on which nothing
    happened. FAILED and CRASHED are red, and `tell_failed`, the recovery, the automations of
    prefect.yaml and people's alarms act on them; but nothing has failed here. CANCELLED is the one
    final type that is left: it is grey, ends the run, gives its slot back, starts no hook and no
    retry. Prefect's own cancelled runs are named Cancelled; events carry the name, such as
    ``prefect.flow-run.Refused``.
    """
    return Cancelled(name=name, message=message)


def is_tried_too_often(attempt: int) -> State | None:
    """End a run that was started again after too many crashes; the monitor asks anew later."""
    if attempt <= MOST_TRIES:
        return None
    return Failed(
        message=f"crashed {MOST_TRIES} times in a row: not tried again until the monitor asks anew"
    )


def explained(run: Callable[P, State]) -> Callable[P, State]:
    """Have a run say which pipeline it is of, and how it ended: an error that Perennial raises on
    purpose becomes a state with its one line."""

    @wraps(run)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> State:
        tag_run()
        try:
            return run(*args, **kwargs)
        except LeaseHeld as error:
            return outcome("Skipped", str(error))
        except PerennialError as error:
            return Failed(message=str(error))

    # Prefect reads a flow's parameters from here, and would look for their types in this module.
    wrapper.__signature__ = inspect.signature(run, eval_str=True)
    return wrapper
