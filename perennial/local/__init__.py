"""The embedded stack: store, Prefect server, worker and inference server as child processes."""

from perennial.local.stack import (
    RunningStack,
    StackStatus,
    ensure_up,
    is_up,
    offer_pipelines,
    status,
    stop,
)

__all__ = ["RunningStack", "StackStatus", "ensure_up", "is_up", "offer_pipelines", "status", "stop"]
