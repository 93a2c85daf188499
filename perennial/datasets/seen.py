"""Which rows of a stream a model has seen: told by what they hold, not by where they stand.

A label that comes late puts its row between others, and so does a source that grows beside served
rows: a count of rows would be off by as many.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def rows_behind(frame: pd.DataFrame, seen: pd.DataFrame) -> int:
    """Count the newest rows behind the last one that is among those seen.

    Of rows that are alike, as many count as seen as there were among those, the oldest.

    Args:
        frame: rows in time order.
        seen: rows of the same stream; of columns that only one of the two has, none counts.
    """
    shared = [name for name in frame.columns if name in seen.columns]
    mine, theirs = _fingerprints(frame[shared]), _fingerprints(seen[shared])
    known = pd.Series(theirs).value_counts()
    nth = pd.Series(mine).groupby(mine).cumcount().to_numpy()
    among = nth < known.reindex(mine, fill_value=0).to_numpy()
    places = np.flatnonzero(among)
    return len(frame) - (int(places[-1]) + 1 if len(places) else 0)


def _fingerprints(frame: pd.DataFrame) -> NDArray[Any]:
    """A hash of each row's values, whatever types its columns have by now: uint64 (rows,)."""
    columns = {name: _plain(frame[name]) for name in frame.columns}
    hashes: NDArray[Any] = pd.util.hash_pandas_object(pd.DataFrame(columns), index=False).to_numpy()
    return hashes


def _plain(column: pd.Series) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        moments = pd.to_datetime(column, utc=True).dt.as_unit("us")
        return pd.Series(moments.astype(np.int64).to_numpy())
    return pd.Series(column.astype(object).where(column.notna(), "").astype(str).to_numpy())
