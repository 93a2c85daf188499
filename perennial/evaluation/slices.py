"""Parts of the rows on which a candidate that is better on average is worse.

Every declared column is cut into slices, and so is every feature: a slice a level, or a slice a
quarter of its numbers. Each slice's mean harm (the candidate's loss less the champion's, less what
the margin allows) is studentised over blocks of neighbouring rows, and all are held at once
against the distribution of their maximum under a multiplier bootstrap (Chernozhukov, Chetverikov &
Kato, "Gaussian approximations and multiplier bootstrap for maxima of sums of high-dimensional
random vectors", Annals of Statistics 41, 2013). So the chance that any slice is named wrongly is
``ALPHA``, however many there are, and slices that overlap cost little. Blocks keep it honest where
rows resemble their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.evaluation.decision import SliceResult

ALPHA = 0.05
MIN_ROWS = 20
"""A smaller slice is not searched."""
_MIN_BLOCKS = 5
_BLOCKS = (10, 40)
_ROWS_A_BLOCK = 20
_LEVELS = 20
_FEW_VALUES = 6
_QUARTERS = 4
_DRAWS = 1_000
_SHOWN = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Slice:
    """Some of the rows."""

    column: str
    value: str
    mask: NDArray[np.bool_]
    """(rows,)"""
    declared: bool


def find_slices(
    frame: pd.DataFrame, declared: Iterable[str], features: Iterable[str]
) -> list[Slice]:
    """Cut the rows by every declared column and every feature; columns not there are passed over.

    A slice has at least `MIN_ROWS` rows and leaves as many out; declared ones are all given.
    """
    named = dict.fromkeys(declared, True)
    columns = {**dict.fromkeys(features, False), **named}
    found = []
    for column, is_declared in columns.items():
        if column not in frame:
            continue
        for value, mask in _cut(frame[column]):
            inside = int(mask.sum())
            if is_declared or min(inside, len(frame) - inside) >= MIN_ROWS:
                found.append(Slice(column, value, mask, is_declared))
    return found


def _cut(column: pd.Series) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    missing = column.isna().to_numpy()
    if missing.any():
        yield "missing", missing
    numeric = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)
    values = column.to_numpy()
    if numeric and column.nunique() > _FEW_VALUES:
        edges = np.unique(column.quantile(np.linspace(0, 1, _QUARTERS + 1)).to_numpy())
        for low, high in pairwise(edges):
            below = values <= high if high == edges[-1] else values < high
            yield f"{_text(low)} to {_text(high)}", (values >= low) & below & ~missing
        return
    for level in column.value_counts().index[:_LEVELS]:
        yield _text(level), (values == level) & ~missing


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def judge_slices(
    slices: list[Slice], mine: Floats, theirs: Floats | None, margin: float
) -> tuple[SliceResult, ...]:
    """Say how both models did on each slice, and on which the candidate is clearly worse.

    Args:
        mine: the candidate's loss a row (rows,), in time order.
        theirs: the champion's; None: there is none, and nothing is refused.
        margin: what a slice may lose, as a share of the champion's loss on it, or over all rows
            where that is larger: what hardly weighs does not refuse a heal.

    Returns:
        The declared slices, and of the others the worst few; the worst first.
    """
    kept = [s for s in slices if s.mask.any()]
    if theirs is None:
        results = [_alone(s, mine) for s in kept]
        results.sort(key=lambda r: -r.loss)
    else:
        bases = [_base(s, theirs) for s in kept]
        lows = _lower_bounds(kept, mine - theirs)
        pairs = zip(kept, bases, lows, strict=True)
        results = [_beside(s, mine, theirs, base, low, margin) for s, base, low in pairs]
        results.sort(key=lambda r: (not r.refused, -(r.change or 0.0)))
    found = [r for r in results if not r.declared][:_SHOWN]
    return tuple(r for r in results if r.declared or r in found)


def _alone(part: Slice, mine: Floats) -> SliceResult:
    return SliceResult(
        column=part.column,
        value=part.value,
        declared=part.declared,
        rows=int(part.mask.sum()),
        loss=float(mine[part.mask].mean()),
        champion=None,
    )


def _base(part: Slice, theirs: Floats) -> float:
    here, overall = float(theirs[part.mask].mean()), float(theirs.mean())
    return max(here, overall, float(np.finfo(np.float64).tiny))


def _beside(
    part: Slice, mine: Floats, theirs: Floats, base: float, low: float, margin: float
) -> SliceResult:
    change = float((mine - theirs)[part.mask].mean()) / base
    bound = low / base if np.isfinite(low) else None
    return SliceResult(
        column=part.column,
        value=part.value,
        declared=part.declared,
        rows=int(part.mask.sum()),
        loss=float(mine[part.mask].mean()),
        champion=float(theirs[part.mask].mean()),
        change=change,
        low=bound,
        refused=bound is not None and bound > margin,
    )


def _lower_bounds(slices: list[Slice], harm: Floats) -> list[float]:
    """Simultaneous lower bounds of the slices' mean harm; -inf where rows are too few to say."""
    if not slices:
        return []
    masks = np.array([s.mask for s in slices], dtype=np.float64)
    least, most = _BLOCKS
    blocks = min(len(harm), most, max(least, len(harm) // _ROWS_A_BLOCK))
    edges = np.linspace(0, len(harm), blocks + 1).astype(np.intp)[:-1]
    rows = np.add.reduceat(masks, edges, axis=1)
    count = rows.sum(axis=1)
    mean = masks @ harm / count
    # The influence of each block on the slice's mean; their sum is zero.
    parts = (np.add.reduceat(masks * harm, edges, axis=1) - mean[:, None] * rows) / count[:, None]
    active = (rows > 0).sum(axis=1)
    error = np.sqrt((parts**2).sum(axis=1) * active / np.maximum(active - 1, 1))
    usable = (active >= _MIN_BLOCKS) & (count >= MIN_ROWS)
    judged = usable & (error > 0)
    reach = _reach(parts[judged], active[judged])
    low = np.full(len(slices), -np.inf)
    low[judged] = mean[judged] - reach * error[judged]
    # Where all blocks say exactly the same there is nothing to allow for.
    low[usable & (error == 0)] = mean[usable & (error == 0)]
    return [float(value) for value in low]


def _reach(parts: Floats, active: Floats) -> float:
    """The quantile of the largest studentised mean, were every slice's mean harm zero."""
    if not len(parts):
        return 0.0
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], size=(parts.shape[1], _DRAWS))
    sums = parts @ signs
    # Signed parts vary around their own mean: the error is estimated anew in each draw.
    squares = (parts**2).sum(axis=1)[:, None] - sums**2 / active[:, None]
    scale = np.sqrt(np.maximum(squares, 1e-300) * (active / np.maximum(active - 1, 1))[:, None])
    return float(np.quantile((sums / scale).max(axis=0), 1 - ALPHA))
