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


class Attempts:
    """Keeps a `SharedContext` open from the first run on; anew where it broke.

    It is entered and left in a task of its own, as its task group demands.
    """

    def __init__(self) -> None:
        self._keeper: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[SharedContext] | None = None
        self._over = asyncio.Event()

    async def context(self) -> SharedContext:
        """Give the open context."""
        if self._opened is None or self._keeper is None or self._keeper.done():
            self._opened = asyncio.get_running_loop().create_future()
            self._keeper = asyncio.create_task(self._keep(self._opened))
        return await asyncio.shield(self._opened)

    async def close(self) -> None:
        """Leave it; processes that still run are ended."""
        self._over.set()
        if self._keeper is not None:
            await self._keeper

    async def _keep(self, opened: asyncio.Future[SharedContext]) -> None:
        try:
            async with SharedContext() as context:
                opened.set_result(context)
                await self._over.wait()
        except Exception as error:
            logger.exception("What runs share has broken; the next run opens it anew.")
            if not opened.done():
                opened.set_exception(error)
