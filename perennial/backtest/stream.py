"""A stream cut for a backtest: the first fraction, then equal windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.errors import SourceError


@dataclass(frozen=True)
class Cut:
    """Row numbers of a stream's windows, and which labels are known when.

    ``bounds`` has windows + 1 entries: window i (0-based) is rows bounds[i] to bounds[i + 1] - 1;
    rows before bounds[0] train version 1.
    """

    bounds: NDArray[Any]
    label_delay_windows: int = 0

    @property
    def windows(self) -> int:
        """How many windows follow the first fraction."""
        return len(self.bounds) - 1

    @property
    def first(self) -> int:
        """Rows of the first fraction."""
        return int(self.bounds[0])

    @property
    def window_rows(self) -> int:
        """Rows of a window."""
        return int(self.bounds[1] - self.bounds[0])

    def rows(self, window: int) -> tuple[int, int]:
        """First row of a window, and the first behind it."""
        return int(self.bounds[window]), int(self.bounds[window + 1])

    def labelled(self, done: int) -> int:
        """Rows whose labels are known once ``done`` windows are over."""
        return int(self.bounds[max(0, done - self.label_delay_windows)])


def cut(rows: int, *, windows: int, train_fraction: float, label_delay_windows: int = 0) -> Cut:
    """Cut ``rows`` rows into a first fraction and ``windows`` equal windows, as the monitor's are.

    What is left over, less than a row for each window, goes to the first fraction.

    Raises:
        SourceError: too few rows for that many windows.
    """
    first = int(rows * train_fraction)
    if windows < 1 or first < 1 or rows - first < windows:
        raise SourceError(
            f"{rows} rows cannot be cut into a training part of {train_fraction:.0%} and "
            f"{windows} windows; ask for fewer windows"
        )
    size = (rows - first) // windows
    return Cut(rows - size * np.arange(windows, -1, -1), label_delay_windows)
