"""An answer of Prefect's server that is asked for again at once is given from memory."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel

T = TypeVar("T", bound=BaseModel)


def remembered(
    read: Callable[[UUID], Awaitable[T]],
    *,
    seconds: float = 0.5,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[UUID], Awaitable[T]]:
    """Read something once and not again for so many seconds.

    Args:
        read: asks the server for what has an id; what it raises is not remembered.
    """
    known: dict[UUID, tuple[float, T]] = {}

    async def recall(identity: UUID) -> T:
        if identity not in known or clock() - known[identity][0] > seconds:
            known[identity] = clock(), await read(identity)
        return known[identity][1].model_copy(deep=True)

    return recall
