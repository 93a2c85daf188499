"""A worker hears of a run as soon as it is there, and not only when it asks the next time.

Prefect's workers ask every few seconds. Asking many times a second instead costs the server a part
of a core, whether there are runs or not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.logging import get_logger

SCHEDULED = EventFilter(event=EventNameFilter(name=["prefect.flow-run.Scheduled"]))
AGAIN_AFTER = 5.0
"""Seconds until the next try where the server gives no events; the worker still asks."""
APART = 0.05
"""Seconds between two looks: many runs that are planned at once are one."""

logger = get_logger("perennial.worker")


class Waking:
    """Looks for runs whenever one is scheduled.

    Args:
        look: takes the runs that are due; what it raises is told and ends nothing.
    """

    def __init__(self, look: Callable[[], Awaitable[object]]) -> None:
        self._look = look
        self._news = asyncio.Event()

    async def watch(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._wake())

    async def _listen(self) -> None:
        while True:
            try:
                async with get_events_subscriber(SCHEDULED, reconnection_attempts=0) as events:
                    async for _ in events:
                        self._news.set()
            except Exception as error:
                logger.debug("No events, the worker asks by itself: %s", error)
            await asyncio.sleep(AGAIN_AFTER)

    async def _wake(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._look()
            except Exception as error:  # the worker's own loop meets it too, and knows when to end
                logger.debug("The look for a new run failed: %s", error)
            await asyncio.sleep(APART)
