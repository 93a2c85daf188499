"""What Prefect needs to start a run and to cancel it, once for all runs of a worker.

Prefect's own worker opens it for each run: two websockets and three clients, a tenth of a second
before the process can start, and a load on the server that grows with the runs.
"""

from __future__ import annotations

import asyncio
from typing import Self
from uuid import UUID

from prefect.logging import get_logger
from prefect.runner._flow_run_executor import FlowRunExecutorContext

logger = get_logger("perennial.worker")


class SharedContext(FlowRunExecutorContext):
    """Of all runs: a cancellation that fails ends its own run, and no other."""

    deaf = False
    """The server was away for so long that it hears of no cancellation any more."""

    async def __aenter__(self) -> Self:
        """Open it; see `FlowRunExecutorContext`."""
        await super().__aenter__()
        manager = self._cancellation_manager
        cancel = manager.cancel_by_id

        async def cancel_or_kill(flow_run_id: UUID) -> None:
            try:
                await cancel(flow_run_id)
            except Exception:
                logger.exception("Run %s cannot be cancelled: its process is ended.", flow_run_id)
                await self.process_manager.kill(flow_run_id)

        manager.cancel_by_id = cancel_or_kill  # type: ignore[method-assign]
        return self

    def _handle_cancellation_observer_failure(self, flow_run_ids: set[UUID]) -> None:
        self.deaf = True
        super()._handle_cancellation_observer_failure(flow_run_ids)


class Attempts:
    """Keeps a `SharedContext` open from the first run on; a new one for the runs to come where it
    broke.

    Each is entered and left in a task of its own, as its task group demands.
    """

    def __init__(self) -> None:
        self._keepers: list[asyncio.Task[None]] = []
        self._opened: asyncio.Future[SharedContext] | None = None
        self._over = asyncio.Event()

    async def context(self) -> SharedContext:
        """Give the open context."""
        if self._opened is None or self._has_broken(self._opened):
            self._opened = asyncio.get_running_loop().create_future()
            self._keepers.append(asyncio.create_task(self._keep(self._opened)))
        return await asyncio.shield(self._opened)

    async def close(self) -> None:
        """Leave them; processes that still run are ended."""
        self._over.set()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def _has_broken(self, opened: asyncio.Future[SharedContext]) -> bool:
        return self._keepers[-1].done() or (opened.done() and opened.result().deaf)

    async def _keep(self, opened: asyncio.Future[SharedContext]) -> None:
        try:
            async with SharedContext() as context:
                opened.set_result(context)
                await self._over.wait()
        except Exception as error:
            logger.exception("What runs share has broken; the next run opens it anew.")
            if not opened.done():
                opened.set_exception(error)
