"""Training and serving skew: one row as it was served, and as it was trained on.

The same row may be computed by two pipelines, one for training and one in the client. Where a
source's column holds the ids of requests, the two are held against one another, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from perennial.packaging.signature import Feature, canonical_label

_FEWEST = 10
"""Joined rows below which nothing is said."""
_TOLERANCE = 1e-5
"""Relative; float32 on the wire is no skew."""
_SHARE = 0.01


class FeatureSkew(BaseModel):
    """A feature that is not served as it is trained on."""

    model_config = ConfigDict(frozen=True)

    feature: str
    share: float
    """Of the joined rows that differ."""
    example: str
    """The first of them: served, trained."""

    def __str__(self) -> str:
        return f"{self.feature}: {self.share:.1%} of the rows differ ({self.example})"


class SkewVerdict(BaseModel):
    """Features as served against features as trained."""

    model_config = ConfigDict(frozen=True)

    key: str | None
    """The column of the source that holds the ids; None: there is none, and nothing to compare."""
    rows: int
    features: tuple[FeatureSkew, ...] = ()

    @property
    def skewed(self) -> bool:
        """Whether any feature differs."""
        return bool(self.features)

    def __str__(self) -> str:
        if self.key is None:
            return "no column of the source holds the ids of requests: nothing to compare"
        if not self.features:
            return f"{self.rows:,} rows joined by {self.key}: served as trained"
        return f"{self.rows:,} rows joined by {self.key}: " + "; ".join(map(str, self.features))


@dataclass(frozen=True, eq=False)
class Joined:
    """The same rows as they were served and as the source has them, one to one."""

    key: str
    """The source's column of ids."""
    served: pd.DataFrame
    source: pd.DataFrame


def join(served: pd.DataFrame, source: pd.DataFrame, *, apart: str) -> Joined | None:
    """Find the served rows in the source, by the column that holds their ids.

    Args:
        served: answered rows with their features and ``_id``.
        source: the labelled source, with a column of ids somewhere.
        apart: the target, which is no id.

    Returns:
        In the order in which they were served; None where no column holds the ids.
    """
    if served.empty:
        return None
    ids = served["_id"].map(canonical_label)
    key = _find_key(source.drop(columns=apart, errors="ignore"), set(ids))
    if key is None:
        return None
    mine = served.assign(_key=ids).drop_duplicates("_key").set_index("_key")
    names = source[key].map(lambda value: None if pd.isna(value) else canonical_label(value))
    theirs = source.assign(_key=names).dropna(subset="_key").drop_duplicates("_key")
    theirs = theirs.set_index("_key")
    both = mine.index.intersection(theirs.index, sort=False)
    return Joined(key, mine.loc[both], theirs.loc[both])


def compare(joined: Joined | None, features: Sequence[Feature]) -> SkewVerdict:
    """Hold rows as they were served against the same rows of the source."""
    if joined is None:
        return SkewVerdict(key=None, rows=0)
    mine, theirs = joined.served, joined.source
    found = [
        _compare_feature(f, mine[f.name], theirs[f.name])
        for f in features
        if f.name in mine.columns and f.name in theirs.columns and f.name != joined.key
    ]
    skewed = tuple(skew for skew in found if skew is not None)
    return SkewVerdict(key=joined.key, rows=len(mine), features=skewed)


def _find_key(source: pd.DataFrame, ids: set[str]) -> str | None:
    """The column that names most of the requests, each once."""
    best, most = None, _FEWEST - 1
    for name in source.columns:
        column = source[name].dropna()
        if pd.api.types.is_float_dtype(column.dtype) and not (column % 1 == 0).all():
            continue
        if column.empty or column.nunique() < 0.9 * len(column):
            continue
        joined = int(column.map(canonical_label).isin(ids).sum())
        if joined > most:
            best, most = str(name), joined
    return best


def _compare_feature(feature: Feature, served: pd.Series, trained: pd.Series) -> FeatureSkew | None:
    differs = (
        _numbers_differ(served, trained)
        if feature.kind == "numeric"
        else _texts_differ(served, trained)
    )
    share = float(differs.mean())
    if share < _SHARE:
        return None
    row = int(differs.argmax())
    example = f"served {_cell(served, row)}, trained {_cell(trained, row)}"
    return FeatureSkew(feature=feature.name, share=share, example=example)


def _cell(column: pd.Series, row: int) -> str:
    (value,) = column.iloc[[row]].tolist()
    return "nothing" if pd.isna(value) else repr(value)


def _numbers_differ(served: pd.Series, trained: pd.Series) -> NDArray[np.bool_]:
    a = pd.to_numeric(served, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    b = pd.to_numeric(trained, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    close: NDArray[np.bool_] = np.isclose(
        a, b, rtol=_TOLERANCE, atol=_TOLERANCE * 1e-3, equal_nan=True
    )
    return ~close


def _texts_differ(served: pd.Series, trained: pd.Series) -> NDArray[np.bool_]:
    a, b = (
        column.map(lambda value: "" if pd.isna(value) else canonical_label(value)).to_numpy()
        for column in (served, trained)
    )
    differs: NDArray[np.bool_] = a != b
    return differs
