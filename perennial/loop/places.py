"""Where windows lie in a stream, and where the monitor stands in it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from perennial.datasets.stream import Cursor
from perennial.store.layout import window_number


@dataclass(frozen=True)
class Stretch:
    """A window by where it lies."""

    window: str
    start: Cursor
    end: Cursor


class PendingWindow(BaseModel):
    """A window whose labels have not come yet."""

    model_config = ConfigDict(frozen=True)

    window: str
    start: Cursor
    end: Cursor

    @property
    def stretch(self) -> Stretch:
        """Where it lies."""
        return Stretch(self.window, self.start, self.end)


class Place(BaseModel):
    """Where the monitor stands; the ``cursor`` of a `Check`."""

    model_config = ConfigDict(frozen=True)

    end: Cursor
    pending: tuple[PendingWindow, ...] = ()


def windows_between(earlier: str, later: str) -> int:
    """How many windows lie from one to a later one."""
    return window_number(later) - window_number(earlier)
