"""What all sections of ``pipeline.yaml`` have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the declaration: frozen, and of no other keys than its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")
