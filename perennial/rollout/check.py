"""One thing that a rollout is held to."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Status = Literal["green", "waiting", "breach"]
"""waiting: not enough is known yet."""


class Check(BaseModel):
    """What was measured, what is allowed, and what that comes to."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: Status
    figure: float | None
    threshold: float | None
    detail: str
