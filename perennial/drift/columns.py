"""A feature's reference values, as the tests want them: numbers, with NaN for what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.drift.detector import Direction
from perennial.packaging.signature import Feature, canonical_label

_BINS = 10
_LEVELS = 30
_RARE = 0.01
"""Categories below this share of the reference are counted together with unseen ones."""


class Column(Protocol):
    """One feature as the reference knows it."""

    test: ClassVar[Literal["ks", "chi2"]]

    @property
    def name(self) -> str:
        """The feature's name."""
        ...

    @property
    def bins(self) -> int:
        """How many bins there are."""
        ...

    def read(self, column: pd.Series) -> NDArray[Any]:
        """Give float64 of shape (rows,), NaN where there is no value."""
        ...

    def codes(self, values: NDArray[Any]) -> NDArray[Any]:
        """Give each value's bin number, -1 for NaN."""
        ...

    def describe(self, reference: NDArray[Any], window: NDArray[Any]) -> tuple[Direction, str]:
        """Say how present values changed."""
        ...


@dataclass(frozen=True)
class NumericColumn:
    """A numeric feature, binned at the reference's deciles, or by value where those are few."""

    test: ClassVar[Literal["ks", "chi2"]] = "ks"
    name: str
    edges: NDArray[Any]

    @classmethod
    def of(cls, name: str, reference: pd.Series) -> NumericColumn:
        """Learn the bins."""
        values = read_numbers(reference)
        values = values[~np.isnan(values)]
        distinct = np.unique(values)
        if len(distinct) > _BINS:
            edges = np.unique(np.quantile(values, np.arange(1, _BINS) / _BINS))
        elif len(distinct):
            # An edge on and one right below each value: what lies between or beyond is news.
            edges = np.unique([np.nextafter(distinct, -np.inf), distinct])
        else:
            edges = distinct
        return cls(name, edges)

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return len(self.edges) + 1

    def read(self, column: pd.Series) -> NDArray[Any]:
        """As `Column`."""
        return read_numbers(column)

    def codes(self, values: NDArray[Any]) -> NDArray[Any]:
        """As `Column`."""
        return np.where(np.isnan(values), -1, np.searchsorted(self.edges, values, side="left"))

    def describe(self, reference: NDArray[Any], window: NDArray[Any]) -> tuple[Direction, str]:
        """Up or down when the mean moved by a tenth of a standard deviation or more."""
        before, after, spread = reference.mean(), window.mean(), reference.std()
        text = f"mean {before:.4g} -> {after:.4g}"
        if abs(after - before) > 0.1 * spread:
            return ("up" if after > before else "down"), text
        return "reshaped", f"{text}, spread {spread:.4g} -> {window.std():.4g}"


@dataclass(frozen=True)
class CategoricalColumn:
    """A categorical feature; rare and unseen categories share one code."""

    test: ClassVar[Literal["ks", "chi2"]] = "chi2"
    name: str
    levels: tuple[str, ...]

    @classmethod
    def of(cls, name: str, reference: pd.Series) -> CategoricalColumn:
        """Learn the categories that are frequent enough to be counted alone."""
        shares = read_labels(reference).value_counts(normalize=True)
        frequent = shares[shares >= _RARE].index[:_LEVELS]
        return cls(name, tuple(sorted(map(str, frequent))))

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return len(self.levels) + 1

    def read(self, column: pd.Series) -> NDArray[Any]:
        """As `Column`: the category's number."""
        labels = read_labels(column)
        index = {level: float(i) for i, level in enumerate(self.levels)}
        other = float(len(self.levels))
        coded = labels.map({label: index.get(label, other) for label in labels.dropna().unique()})
        values: NDArray[Any] = coded.to_numpy(dtype=np.float64, na_value=np.nan)
        return values

    def codes(self, values: NDArray[Any]) -> NDArray[Any]:
        """As `Column`."""
        return np.where(np.isnan(values), -1, values).astype(np.intp)

    def describe(self, reference: NDArray[Any], window: NDArray[Any]) -> tuple[Direction, str]:
        """Name the category whose share changed most."""
        before = np.bincount(reference.astype(np.intp), minlength=self.bins) / len(reference)
        after = np.bincount(window.astype(np.intp), minlength=self.bins) / len(window)
        most = int(np.argmax(np.abs(after - before)))
        name = repr(self.levels[most]) if most < len(self.levels) else "rare or new values"
        return "reshaped", f"share of {name} {before[most]:.1%} -> {after[most]:.1%}"


def column_of(feature: Feature, reference: pd.Series) -> Column:
    """Learn a feature's column from the reference."""
    kind = NumericColumn if feature.kind == "numeric" else CategoricalColumn
    return kind.of(feature.name, reference)


def read_numbers(column: pd.Series) -> NDArray[Any]:
    """Read numbers however they are stored; text, infinities and missing values become NaN.

    They are rounded to float32, as the model sees them: a value and its copy from a log that keeps
    fewer digits must fall into one bin.
    """
    values: NDArray[Any] = pd.to_numeric(column, errors="coerce").to_numpy(
        dtype=np.float32, na_value=np.nan
    )
    return np.where(np.isfinite(values), values, np.nan).astype(np.float64)


def read_labels(column: pd.Series) -> pd.Series:
    """Read categories in their canonical form; None and the empty string are missing."""
    present = column.dropna()
    labels = present.map({value: canonical_label(value) for value in present.unique()})
    return labels.astype(object).where(labels != "").reindex(column.index)
