"""Rules about a column or table as a whole, by statistics that add up over batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from perennial.validation.row_rules import Kwargs, hash_rows, missing

Figure = float | int | None


class Statistic(Protocol):
    """A figure over the batches of one table."""

    def add(self, frame: pd.DataFrame) -> None:
        """Look at the next batch."""
        ...

    def value(self) -> Figure:
        """The figure over all batches; None where there is none."""
        ...


class Rows:
    """How many rows there are."""

    def __init__(self, kwargs: Kwargs) -> None:  # noqa: ARG002
        self._rows = 0

    def add(self, frame: pd.DataFrame) -> None:
        """As `Statistic`."""
        self._rows += len(frame)

    def value(self) -> Figure:
        """As `Statistic`."""
        return self._rows


class Exists:
    """1 where the column is there."""

    def __init__(self, kwargs: Kwargs) -> None:
        self._column = kwargs["column"]
        self._found = True

    def add(self, frame: pd.DataFrame) -> None:
        """As `Statistic`."""
        self._found &= self._column in frame.columns

    def value(self) -> Figure:
        """As `Statistic`."""
        return int(self._found)


@dataclass
class Distinct:
    """How many different values there are; as a share of the present ones where ``share``."""

    kwargs: Kwargs
    share: bool = False

    def __post_init__(self) -> None:
        self._known = np.empty(0, dtype=np.uint64)
        self._present = 0

    def add(self, frame: pd.DataFrame) -> None:
        """As `Statistic`."""
        present = frame.loc[~missing(frame[self.kwargs["column"]]), [self.kwargs["column"]]]
        self._present += len(present)
        fresh = pd.unique(pd.Series(hash_rows(present)))
        self._known = np.union1d(self._known, fresh)

    def value(self) -> Figure:
        """As `Statistic`."""
        if not self.share:
            return len(self._known)
        return len(self._known) / self._present if self._present else 0.0


@dataclass
class Present:
    """Share of the rows that have a value."""

    kwargs: Kwargs

    def __post_init__(self) -> None:
        self._rows = self._present = 0

    def add(self, frame: pd.DataFrame) -> None:
        """As `Statistic`."""
        self._rows += len(frame)
        self._present += int(frame[self.kwargs["column"]].count())

    def value(self) -> Figure:
        """As `Statistic`."""
        return self._present / self._rows if self._rows else None


@dataclass
class Moments:
    """Count, mean and squared deviations, merged as Chan, Golub & LeVeque (1983) do."""

    kwargs: Kwargs
    pick: Callable[[Moments], Figure]

    def __post_init__(self) -> None:
        self.count, self.mean, self.squares, self.total = 0, 0.0, 0.0, 0.0
        self.low, self.high = math.inf, -math.inf

    def add(self, frame: pd.DataFrame) -> None:
        """As `Statistic`; a column that holds no numbers raises TypeError or ValueError."""
        values = frame[self.kwargs["column"]].dropna().to_numpy(dtype=np.float64)
        if not len(values):
            return
        mean = float(values.mean())
        squares = float(np.square(values - mean).sum())
        together = self.count + len(values)
        step = mean - self.mean
        self.squares += squares + step**2 * self.count * len(values) / together
        self.mean += step * len(values) / together
        self.count, self.total = together, self.total + float(values.sum())
        self.low, self.high = min(self.low, values.min()), max(self.high, values.max())

    def value(self) -> Figure:
        """As `Statistic`."""
        return self.pick(self) if self.count else None


@dataclass(frozen=True)
class TableKind:
    """How a type of rule is measured, and how its figure is judged."""

    build: Callable[[Kwargs], Statistic]
    judge: Callable[[Figure, Kwargs], bool]
    arguments: frozenset[str]


def _between(value: Figure, kwargs: Kwargs) -> bool:
    if value is None:
        return False
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    above = low is None or (value > low if kwargs.get("strict_min") else value >= low)
    below = high is None or (value < high if kwargs.get("strict_max") else value <= high)
    return bool(above and below)


def _equals(value: Figure, kwargs: Kwargs) -> bool:
    return bool(value == kwargs["value"])


def _yes(value: Figure, kwargs: Kwargs) -> bool:  # noqa: ARG001
    return value == 1


def _kind(build: Callable[[Kwargs], Statistic], *arguments: str) -> TableKind:
    bounds = {"min_value", "max_value", "strict_min", "strict_max"}
    return TableKind(build, _between, frozenset({*arguments, *bounds}))


def _moments(pick: Callable[[Moments], Figure]) -> TableKind:
    return _kind(lambda kwargs: Moments(kwargs, pick), "column")


def _spread(moments: Moments) -> Any:
    return math.sqrt(moments.squares / (moments.count - 1)) if moments.count > 1 else None


TABLE_KINDS: dict[str, TableKind] = {
    "expect_table_row_count_to_be_between": _kind(Rows),
    "expect_table_row_count_to_equal": TableKind(Rows, _equals, frozenset({"value"})),
    "expect_column_to_exist": TableKind(Exists, _yes, frozenset({"column"})),
    "expect_column_unique_value_count_to_be_between": _kind(Distinct, "column"),
    "expect_column_proportion_of_unique_values_to_be_between": _kind(
        lambda kwargs: Distinct(kwargs, share=True), "column"
    ),
    "expect_column_proportion_of_non_null_values_to_be_between": _kind(Present, "column"),
    "expect_column_min_to_be_between": _moments(lambda m: m.low),
    "expect_column_max_to_be_between": _moments(lambda m: m.high),
    "expect_column_mean_to_be_between": _moments(lambda m: m.mean),
    "expect_column_sum_to_be_between": _moments(lambda m: m.total),
    "expect_column_stdev_to_be_between": _moments(_spread),
}
