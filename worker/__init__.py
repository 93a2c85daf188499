"""A Prefect worker type whose flow runs are forked from a process that is warm already.

`prefect worker start --pool POOL --type perennial-fork` finds it by the entry point
``prefect.collections``.
"""

from worker.fork_worker import ForkWorker

__all__ = ["ForkWorker"]
