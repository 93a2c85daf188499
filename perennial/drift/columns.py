"""A feature's reference values, as the tests want them: numbers, with NaN for what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.packaging.signature import Feature, canonical_label

_BINS = 10
_LINEAR = 3.0
"""Within so many spreads of the median a value counts as it is, beyond as its logarithm."""
_ENOUGH = 20_000
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


@dataclass(frozen=True)
class NumericColumn:
    """A numeric feature, binned at the reference's deciles, or by value where those are few."""

    test: ClassVar[Literal["ks", "chi2"]] = "ks"
    name: str
    edges: NDArray[Any]
    centre: float = 0.0
    scale: float = 1.0
    distinct: int = 0
    """How many different values the reference has."""

    @classmethod
    def of(cls, name: str, reference: pd.Series) -> NumericColumn:
        """Learn the bins, and where most values lie."""
        values = read_numbers(reference)
        values = values[~np.isnan(values)]
        ends = (values.min(), values.max()) if len(values) else ()
        values = thin(values)
        distinct = np.unique([*values, *ends])
        if len(distinct) > _BINS:
            inner = np.quantile(values, np.arange(1, _BINS) / _BINS)
            # Beyond what was ever seen is a bin of its own on either side.
            edges = np.unique([np.nextafter(distinct[0], -np.inf), *inner, distinct[-1]])
        elif len(distinct):
            # An edge on and one right below each value: what lies between or beyond is news.
            edges = np.unique([np.nextafter(distinct, -np.inf), distinct])
        else:
            edges = distinct
        return cls(name, edges, *_middle(values), len(distinct))

    def standardise(self, values: NDArray[Any]) -> NDArray[Any]:
        """Bring values to the reference's median and spread, wild ones tamed by a logarithm.

        Shape and NaN are kept. The map does not saturate, so that a steady trend stays one.
        """
        scaled = (values - self.centre) / (self.scale * _LINEAR)
        tamed: NDArray[Any] = np.arcsinh(scaled) * _LINEAR
        return tamed

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


@dataclass(frozen=True)
class CategoricalColumn:
    """A categorical feature; rare and unseen categories share one code."""

    test: ClassVar[Literal["ks", "chi2"]] = "chi2"
    name: str
    levels: tuple[str, ...]
    usual: int = 0
    """Number of the most frequent category."""

    @classmethod
    def of(cls, name: str, reference: pd.Series) -> CategoricalColumn:
        """Learn the categories that are frequent enough to be counted alone."""
        shares = read_labels(reference).value_counts(normalize=True)
        frequent = [str(level) for level in shares[shares >= _RARE].index[:_LEVELS]]
        levels = tuple(sorted(frequent))
        return cls(name, levels, levels.index(frequent[0]) if frequent else 0)

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


def thin(values: NDArray[Any]) -> NDArray[Any]:
    """Leave evenly spaced values of a long column (rows,): more say nothing new of its shape."""
    return values[:: max(1, -(-len(values) // _ENOUGH))]


def _middle(values: NDArray[Any]) -> tuple[float, float]:
    """Median, and the spread from the quartiles, or from all values where those are one.

    Of a constant it is a thousandth of itself: whatever else comes is far off.
    """
    if not len(values):
        return 0.0, 1.0
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    spread = float(high - low) / 1.349 or float(values.std()) or 1e-3 * (abs(float(middle)) or 1.0)
    return float(middle), spread


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
