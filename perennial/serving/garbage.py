"""How the processes of a server collect garbage."""

from __future__ import annotations

import gc

_THRESHOLDS = (10_000, 20, 50)


def collect_seldom() -> None:
    """Take what is in memory for lasting, and look for cycles less often than Python does.

    Requests and log records leave none, but each collection would look at all that are alive.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
