"""What triage remembers of a stream: windows as arrays of numbers, the oldest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.packaging.signature import canonical_label
from perennial.spec import PipelineSpec
from perennial.validation.row_rules import hash_rows

Values = NDArray[np.float64]
MANY = 7
TEXT = 1e30
"""From here on a number stands for a text that came in a column of numbers."""
_OUTLINE = 512


@dataclass(frozen=True)
class Series:
    """One column of one window; text as the numbers that `Levels` gives it, NaN where missing."""

    values: Values

    @cached_property
    def present(self) -> Values:
        """The values that are there, in order of size."""
        return np.sort(self.values[~np.isnan(self.values)])

    @cached_property
    def distinct(self) -> Values:
        """The different values."""
        return np.unique(self.present)

    @cached_property
    def repeats(self) -> NDArray[np.bool_]:
        """Of each row but the first whether it holds what the row before held."""
        a, b = self.values[:-1], self.values[1:]
        same: NDArray[np.bool_] = (a == b) | (np.isnan(a) & np.isnan(b))
        return same

    @cached_property
    def outline(self) -> Values:
        """As `present`, at most `_OUTLINE` of them, evenly drawn."""
        if len(self.present) <= _OUTLINE:
            return self.present
        drawn: Values = self.present[np.linspace(0, len(self.present) - 1, _OUTLINE).astype(int)]
        return drawn

    @cached_property
    def digits(self) -> NDArray[np.intp]:
        """Digits behind the point that the values of the outline need."""
        return decimals(self.outline)

    @property
    def equal_share(self) -> float:
        """Share of rows that hold what the row before held."""
        return float(self.repeats.mean()) if len(self.repeats) else 0.0

    @cached_property
    def roughness(self) -> float:
        """How far the value moves when it moves, over how far two random rows lie apart."""
        values = self.values[~np.isnan(self.values)]
        moves = np.abs(np.diff(values))
        moves = moves[moves > 0]
        order = np.arange(1, len(values) + 1)
        # Gini's mean difference.
        apart = 2 * float(np.sum((2 * order - len(values) - 1) * self.present))
        apart /= max(len(values) * (len(values) - 1), 1)
        return float(moves.mean() / apart) if len(moves) and apart > 0 else 0.0

    @cached_property
    def longest_run(self) -> int:
        """Rows of the longest stretch of one value."""
        return longest_run(self.repeats)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Logarithms of the mean size and of the spread of the values; NaN where there is none."""
        if len(self.distinct) < 3:
            return float("nan"), float("nan")
        size = float(np.mean(np.abs(self.present)))
        spread = float(np.std(self.present))
        return float(np.log(size)), float(np.log(spread)) if spread > 0 else float("nan")


def decimals(present: Values) -> NDArray[np.intp]:
    """Digits behind the point that each value needs, `MANY` for more."""
    needed = np.full(len(present), MANY, dtype=np.intp)
    left = np.arange(len(present))
    for digits in range(MANY):
        grid = present[left] * 10.0**digits
        on = np.abs(grid - np.round(grid)) <= 1e-9 * np.maximum(np.abs(grid), 1)
        needed[left[on]] = digits
        left = left[~on]
    return needed


def longest_run(repeats: NDArray[np.bool_]) -> int:
    """Rows of the longest stretch of one value, from which rows repeat the one before."""
    breaks = np.flatnonzero(~repeats)
    edges = np.concatenate([[-1], breaks, [len(repeats)]])
    return int(np.diff(edges).max())


@dataclass(frozen=True)
class Levels:
    """Numbers for the texts of a column; grows as new ones are met."""

    known: dict[str, float] = field(default_factory=dict)

    def read(self, column: pd.Series) -> Values:
        """Give each row's number."""
        codes, uniques = pd.factorize(column)
        numbers = [self.known.setdefault(canonical_label(v), len(self.known)) for v in uniques]
        table: Values = np.array([*numbers, np.nan], dtype=np.float64)
        read: Values = table[codes]
        return read


@dataclass(frozen=True)
class Slice:
    """One window: a column a name, and its rows' times in seconds where there are any."""

    columns: dict[str, Series]
    times: Values | None
    target: str
    frame: pd.DataFrame

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """A hash a row over all that came with it; the target and what the log adds left out."""
        kept = [c for c in self.frame.columns if not str(c).startswith("_")]
        return hash_rows(self.frame[sorted(set(kept) - {self.target}, key=str)])

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True)
class Reader:
    """Reads frames of one pipeline into `Slice`s."""

    names: tuple[str, ...]
    text: frozenset[str]
    spec: PipelineSpec
    levels: dict[str, Levels]

    @classmethod
    def of(cls, frame: pd.DataFrame, spec: PipelineSpec) -> Reader:
        """Learn which columns there are; those ignored, dates, and the target are not looked at."""
        apart = {spec.target, spec.time, *spec.ignore}
        names, text = [], []
        for name in map(str, frame.columns):
            if name in apart or pd.api.types.is_datetime64_any_dtype(frame[name]):
                continue
            names.append(name)
            if not _is_number(frame[name]):
                text.append(name)
        return cls(
            tuple(names), frozenset(text), spec, {n: Levels() for n in [*names, spec.target]}
        )

    def read(self, frame: pd.DataFrame) -> Slice:
        """Read a window; a column that changed its kind reads as values that nobody has seen."""
        columns = {n: Series(self._column(frame, n)) for n in self.names if n in frame.columns}
        return Slice(columns, self._times(frame), self.spec.target, frame)

    def _column(self, frame: pd.DataFrame, name: str) -> Values:
        column = frame[name]
        if name in self.text:
            return self.levels[name].read(column)
        if _is_number(column):
            values: Values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            return np.where(np.isinf(values), np.nan, values)
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        strange = np.isnan(numbers) & column.notna().to_numpy()
        # Text where numbers were: one huge value a text, so that they are new and stay apart.
        coded = TEXT * (1 + self.levels[name].read(column) / 1e6)
        return np.where(strange, coded, numbers)

    def _times(self, frame: pd.DataFrame) -> Values | None:
        name = self.spec.time
        if name is None or name not in frame.columns:
            return None
        column = frame[name]
        if not pd.api.types.is_datetime64_any_dtype(column):
            return np.full(len(frame), np.nan)
        moments = pd.to_datetime(column, utc=True).dt.tz_localize(None)
        seconds = moments.to_numpy().astype("datetime64[ms]").astype(np.float64) / 1e3
        return np.where(moments.isna(), np.nan, seconds)

    def target(self, labels: pd.Series) -> Values:
        """Labels as numbers: values for regression, else a number a class."""
        if self.spec.task == "regression":
            values: Values = pd.to_numeric(labels, errors="coerce").to_numpy(np.float64)
            return values
        return self.levels[self.spec.target].read(labels)


def _is_number(column: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return True
    return column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) in {
        "integer", "floating", "mixed-integer-float", "boolean", "empty",
    }  # fmt: skip


def cut_reference(frame: pd.DataFrame, spec: PipelineSpec, window_rows: int) -> list[pd.DataFrame]:
    """Cut reference rows into windows as the monitor would, the newest last and full."""
    size = spec.monitor.window.duration
    if size is not None and spec.time is not None and spec.time in frame.columns:
        clock = pd.to_datetime(frame[spec.time], utc=True)
        back = ((clock.iloc[-1] - clock) / pd.Timedelta(size)).to_numpy()
        numbers = np.floor(np.maximum.accumulate(back[::-1])[::-1]).astype(int)
        parts = [frame[numbers == n] for n in range(int(numbers.max()), -1, -1)]
        return [part for part in parts[1:] if len(part)]
    count = len(frame) // max(window_rows, 1)
    start = len(frame) - count * window_rows
    return [
        frame.iloc[start + i * window_rows : start + (i + 1) * window_rows] for i in range(count)
    ]


def worst(figures: Sequence[float] | Any) -> float:
    """The largest figure that history shows; 0 where it shows none."""
    known = [figure for figure in figures if np.isfinite(figure)]
    return float(max(known, default=0.0))
