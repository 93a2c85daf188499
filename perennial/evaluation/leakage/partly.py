"""Features that tell the target on a part of the rows only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.evaluation.leakage.target import Floats, as_numbers

_EXACT = 1e-6
_NEARLY = 0.01
"""Of the target's spread, by which a copy with noise may be off."""
_DRAWS = 600
_SAMPLE = 600
_FEWEST = 0.03
_FEWEST_NEARLY = 0.3
_DISTINCT = 20
_BEYOND = 5.0
_SURPRISES = 30.0
_PURE = 0.998
_MOST = 12
_STRETCHES = 39


def on_a_line(feature: Floats, y: Floats, lag: int) -> float:
    """Share of the rows on which a feature is a straight line in the target.

    Lines through two random rows are tried (Fischler & Bolles, "Random sample consensus", CACM 24,
    1981); one counts where it holds far more rows than with the target of rows before.

    Args:
        feature: (rows,), NaN where missing.
        y: the target (rows,).
        lag: rows by which the truth is late.
    """
    here = np.flatnonzero(~np.isnan(feature))
    if len(here) < _DISTINCT or len(np.unique(feature[here])) < _DISTINCT:
        return 0.0
    rng = np.random.default_rng(0)
    some = np.sort(rng.choice(here, min(_SAMPLE, len(here)), replace=False))
    a, b = rng.choice(some, (2, _DRAWS))
    rise = y[b] - y[a]
    usable = (np.abs(rise) > 1e-9) & (feature[b] != feature[a])
    slope = np.append((feature[b] - feature[a])[usable] / rise[usable], 1.0)
    level = np.append(feature[a][usable] - slope[:-1] * y[a][usable], 0.0)
    best = 0.0
    for off, fewest in ((_EXACT, _FEWEST), (_NEARLY, _FEWEST_NEARLY)):
        reach = off * np.maximum(np.abs(slope), 1e-12)
        held = np.abs(feature[some, None] - slope * y[some, None] - level) <= reach
        order = np.argsort(-held.sum(axis=0))[:3]
        for line in order:
            hit = _held(feature, y, slope[line], level[line], reach[line])
            if hit.mean() < fewest or _kinds(y[hit]) < _DISTINCT:
                continue
            before = [np.roll(y, s) for s in [*range(lag, lag + 7), len(y) // 3, len(y) // 2]]
            luck = max(
                _held(feature, z, slope[line], level[line], reach[line]).mean() for z in before
            )
            if hit.mean() >= _BEYOND * luck:
                best = max(best, float(hit.mean()))
    return best


def _held(
    feature: Floats, y: Floats, slope: float, level: float, reach: float
) -> NDArray[np.bool_]:
    held: NDArray[np.bool_] = np.abs(feature - slope * y - level) <= reach
    return held


def _kinds(values: Floats) -> int:
    return len(np.unique(values))


def of_one_class(feature: pd.Series, y: Floats, lag: int) -> tuple[str, float] | None:
    """A value, or a missing one, that only rows of one class have, though the past did not tell.

    Args:
        y: indicators of classes (rows, columns), standardised.

    Returns:
        In words which value, and the share of the rows that have it.
    """
    for words, mask in _values(feature):
        count = int(mask.sum())
        if count < max(_SURPRISES, _FEWEST * len(mask)):
            continue
        for column in y.T:
            for pure in (column.max(), column.min()):
                is_pure = column == pure
                if is_pure.mean() > 0.8 or is_pure[mask].mean() < _PURE:
                    continue
                before = np.roll(is_pure, lag)[mask]
                if count * (1 - before.mean()) >= _SURPRISES:
                    return words, float(mask.mean())
    return None


def _values(feature: pd.Series) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    missing = feature.isna().to_numpy()
    if 0 < missing.sum() < len(missing):
        yield "a missing value", missing
        yield "a value that is not missing", ~missing
    numbers = as_numbers(feature)
    known = feature[~missing]
    if numbers is not None:
        known = pd.Series(numbers[~missing])
    common = known.value_counts()
    common = common[common >= _FEWEST * len(feature)].index[:_MOST]
    # Where values are few a pure one may be how the world is: a level that tells all it can is
    # looked for only beside values that are many.
    if known.nunique() <= _MOST:
        return
    for value in common:
        yield f"the value {value!r}", (feature == value).to_numpy(dtype=bool)


def stretches(rows: int) -> list[slice]:
    """Parts of the rows to look at by themselves, evenly spread, half of each in the next."""
    size = min(max(rows // 20, 200), 1_000)
    if rows < 2 * size:
        return []
    starts = np.linspace(0, rows - size, min(_STRETCHES, 2 * rows // size)).astype(int)
    return [slice(start, start + size) for start in starts]
