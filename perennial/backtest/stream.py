"""A stream cut for a backtest: the first fraction, then equal windows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.datasets.labels import typed_labels
from perennial.errors import SourceError
from perennial.evaluation.targets import encode_labels
from perennial.spec import PipelineSpec
from perennial.training.columns import sort_labels


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

    @property
    def end(self) -> int:
        """The row behind the last window."""
        return int(self.bounds[-1])

    def earlier(self, rows: int) -> Cut:
        """Let every window begin that many rows earlier, and the stream end as many earlier.

        Raises:
            SourceError: nothing would be left of the first fraction.
        """
        if rows >= self.first:
            raise SourceError(
                f"windows cannot begin {rows} rows earlier, the first fraction has {self.first}: "
                "ask for a larger first fraction"
            )
        return replace(self, bounds=self.bounds - rows)

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


def seeded(spec: PipelineSpec, seed: int) -> PipelineSpec:
    """Declare the seed of all fits."""
    return spec.model_copy(update={"model": spec.model.model_copy(update={"seed": seed})})


@dataclass(frozen=True, eq=False)
class Recorded:
    """A recorded stream, and how it is cut."""

    frame: pd.DataFrame
    """All rows in time order, with their target."""
    spec: PipelineSpec
    where: Cut

    @cached_property
    def labels(self) -> pd.Series:
        """The truth of all rows in the one type of the task; missing where it is unknown."""
        return typed_labels(self.frame[self.spec.target], self.spec.task)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """All class labels of the stream; empty for regression."""
        if self.spec.task == "regression":
            return ()
        return sort_labels(set(self.labels.dropna()))

    @cached_property
    def width(self) -> int:
        """Columns of an output over all classes."""
        return len(self.classes) if self.spec.task == "multiclass" else 1

    @cached_property
    def y(self) -> NDArray[Any]:
        """Values or class indices (rows,); of a row without a label it says nothing."""
        if self.spec.task == "regression":
            values: NDArray[Any] = self.labels.fillna(0.0).to_numpy(np.float64)
            return values
        return np.maximum(encode_labels(self.labels, self.classes), 0)

    def labelled(self, low: int, high: int) -> NDArray[np.intp]:
        """Numbers of the rows from ``low`` to ``high`` - 1 that have a label."""
        known = self.labels.iloc[low:high].notna().to_numpy()
        found: NDArray[np.intp] = low + np.flatnonzero(known)
        return found

    @cached_property
    def names(self) -> NDArray[Any]:
        """The ids under which rows are asked."""
        return np.array([f"row-{row:07d}" for row in range(len(self.frame))], dtype=object)

    @cached_property
    def asked(self) -> pd.DataFrame:
        """What a request carries of each row, and its id."""
        left_out = [self.spec.target, *self.spec.ignore]
        return self.frame.drop(columns=left_out, errors="ignore").assign(_id=self.names)

    @cached_property
    def learnable(self) -> pd.DataFrame:
        """What a training may use of each row, named as in production."""
        rows = np.arange(len(self.frame))
        index = pd.Index(np.where(rows < self.where.first, rows, self.names), dtype=object)
        kept = [name for name in self.frame.columns if name not in self.spec.ignore]
        return self.frame[kept].assign(**{self.spec.target: self.labels}).set_axis(index)

    def rows_of(self, frame: pd.DataFrame) -> NDArray[np.intp]:
        """The numbers of rows that were asked."""
        rows: NDArray[np.intp] = frame["_id"].str.slice(4).to_numpy(dtype=np.intp)
        return rows
