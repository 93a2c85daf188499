"""Children that hang: before their flow began, or after their run was ended without them."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_logger

from perennial.local.processes import signal_group
from worker.identity import Identity

BEGIN_WITHIN = 120.0
"""Seconds from the fork to the flow's begin, which take half a second."""
END_WITHIN = 60.0
"""Seconds from the end of a run to that of its process."""

logger = get_logger("perennial.worker")


@dataclass
class Child:
    """A forked process, and since when it is what it is now."""

    identity: Identity
    forked: float
    over_since: float | None = None

    def fault(self, state: State | None, now: float) -> str | None:
        """Say why it is taken to hang; None where it is not.

        Args:
            state: of its flow run; None: the run is not there any more.
            now: seconds, as ``forked``.
        """
        if state is not None and not state.is_final():
            self.over_since = None
            if state.is_pending() and now - self.forked > BEGIN_WITHIN:
                return f"its flow has not begun in {BEGIN_WITHIN:.0f} s"
            return None
        if self.over_since is None:
            self.over_since = now
        if now - self.over_since > END_WITHIN:
            return f"its run ended {END_WITHIN:.0f} s ago without it"
        return None


@dataclass
class Children:
    """What a worker has forked and not seen the end of."""

    clock: Callable[[], float] = time.monotonic
    _alive: dict[UUID, Child] = field(default_factory=dict)

    def add(self, run: UUID, identity: Identity) -> None:
        """Note a child."""
        self._alive[run] = Child(identity, self.clock())

    def remove(self, run: UUID) -> None:
        """Forget a child, which has ended."""
        self._alive.pop(run, None)

    async def end_hanging(self, client: PrefectClient) -> int:
        """Kill those that hang, with all they started; say how many.

        What their runs come to is seen to by whoever waits for their exit codes.
        """
        ended = 0
        for run, child in list(self._alive.items()):
            try:
                state = (await client.read_flow_run(run)).state
            except ObjectNotFound:
                state = None
            fault = child.fault(state, self.clock())
            if fault is not None and child.identity.is_alive():
                logger.warning("The process of flow run %s hangs: %s. It is killed.", run, fault)
                signal_group(child.identity.process.pid, signal.SIGKILL)
                ended += 1
        return ended
