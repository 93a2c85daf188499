"""Why a drift was confirmed: which features carry it, since when, and what of the loss is theirs.

Since when: the window from which on a mean other than what was predicted fits the feature's scores
best (Hinkley, "Inference about the change-point in a sequence of random variables", Biometrika 57,
1970).

Share of the loss: the reference's rows are reweighted so that this feature alone is distributed as
in the window, and their mean loss taken again; what a shift of that kind costs a model that stays
as it is (after Zhang et al., "Why did the model fail?", ICML 2023). Features that go together
explain the same rise twice. What no feature explains is a change of P(y|x), or lies where the
reference has no rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from perennial.drift.columns import CategoricalColumn, Column, NumericColumn, column_of
from perennial.drift.detector import Direction, FeatureVerdict, InputVerdict
from perennial.packaging.signature import Feature

Floats = NDArray[Any]

_PRIOR_ROWS = 10.0
"""Each bin's loss is drawn towards the mean of all as if by so many rows."""
_CLIP = 10.0
_BARS = 20
_MOST = 12
"""More causes than this, the weakest, are left out."""
_STEPS = 8


class Picture(BaseModel):
    """A feature before and after, to be drawn."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["bars", "line"]
    """bars: shares of rows. line: the mean of one feature along another."""
    axis: str
    ticks: tuple[str, ...]
    before: tuple[float | None, ...]
    after: tuple[float | None, ...]


class Cause(BaseModel):
    """One thing that changed."""

    model_config = ConfigDict(frozen=True)

    label: str
    features: tuple[str, ...]
    """The columns that it is about; none for the champion's output."""
    direction: Direction
    detail: str
    effect: float
    since: str
    """The first window of the change."""
    scores: tuple[float, ...]
    """The feature's statistic in each window looked back on, the newest last."""
    extra_loss: float | None
    """By what share of it the loss rises for this change alone; None: unknown."""
    loss_share: float | None
    """That as a share of the rise that was measured, 0 to 1; None: unknown, or nothing rose."""
    picture: Picture | None


class Explanation(BaseModel):
    """What is behind a confirmed drift."""

    model_config = ConfigDict(frozen=True)

    window: str
    windows: tuple[str, ...]
    """Those looked back on, the newest last."""
    causes: tuple[Cause, ...]
    """The strongest first."""


def explain(
    seen: Sequence[tuple[str, InputVerdict]],
    reference: pd.DataFrame,
    window: pd.DataFrame,
    features: Sequence[Feature],
    *,
    losses: Floats | None = None,
    ratio: float | None = None,
) -> Explanation:
    """Say what is behind the newest verdict's lasting shifts.

    Args:
        seen: names of windows and verdicts on them, the newest last.
        reference: what the windows were held against.
        window: the newest window.
        features: the columns watched.
        losses: the champion's loss on each row of the reference, NaN where it is unknown.
        ratio: its loss on the newest labelled windows over what was promised.

    Raises:
        ValueError: there are no verdicts.
    """
    if not seen:
        raise ValueError("there are no windows to explain")
    known = {f.name: f for f in features}
    names = tuple(name for name, _ in seen)
    causes = []
    for verdict in seen[-1][1].lasting[:_MOST]:
        about = _about(verdict, tuple(known))
        columns = [column_of(known[name], reference[name]) for name in about]
        scores = tuple(_score_of(verdict, earlier) for _, earlier in seen)
        extra = None if losses is None else _extra_loss(columns, reference, window, losses)
        causes.append(
            Cause(
                label=verdict.label,
                features=about,
                direction=verdict.direction,
                detail=verdict.detail,
                effect=verdict.effect,
                since=names[_change_point(scores)],
                scores=scores,
                extra_loss=extra,
                loss_share=_share(extra, ratio),
                picture=_picture(verdict, columns, reference, window),
            )
        )
    return Explanation(window=names[-1], windows=names, causes=tuple(causes))


def _about(verdict: FeatureVerdict, names: tuple[str, ...]) -> tuple[str, ...]:
    if verdict.aspect == "association":
        pairs = (pair for pair in combinations(names, 2) if " with ".join(pair) == verdict.feature)
        return next(pairs, ())
    of_feature = verdict.aspect in ("values", "missing") and verdict.feature in names
    return (verdict.feature,) if of_feature else ()


def _score_of(verdict: FeatureVerdict, earlier: InputVerdict) -> float:
    """The same comparison's statistic in an earlier window; 0 where it was not made."""
    for other in earlier.features:
        if other.aspect == verdict.aspect and (
            other.feature == verdict.feature or verdict.aspect == "association"
        ):
            return float(np.clip(other.statistic, -_CLIP, _CLIP))
    return 0.0


def _change_point(scores: Sequence[float]) -> int:
    """Give the first window after the change: where a shifted mean explains the scores best."""
    tail = np.cumsum(np.asarray(scores)[::-1])[::-1]
    left = np.arange(len(scores), 0, -1)
    return int(np.argmax(tail**2 / left))


def _extra_loss(
    columns: Sequence[Column], reference: pd.DataFrame, window: pd.DataFrame, losses: Floats
) -> float | None:
    """By what share the reference's loss changes where these columns are as in the window."""
    there = ~np.isnan(losses)
    if not columns or not there.any() or losses[there].mean() <= 0:
        return None
    bins = int(np.prod([column.bins + 1 for column in columns]))
    before, after = _cells(columns, reference)[there], _cells(columns, window)
    mean = float(losses[there].mean())
    rows = np.bincount(before, minlength=bins)
    total = np.bincount(before, weights=losses[there], minlength=bins)
    in_cell = (total + _PRIOR_ROWS * mean) / (rows + _PRIOR_ROWS)
    shares = np.bincount(after, minlength=bins) / max(len(after), 1)
    usual = rows / rows.sum()
    return float((shares - usual) @ in_cell / mean)


def _cells(columns: Sequence[Column], frame: pd.DataFrame) -> NDArray[Any]:
    """Number of the cell that each row lies in; missing values have a bin of their own."""
    cell = np.zeros(len(frame), dtype=np.intp)
    for column in columns:
        cell = cell * (column.bins + 1) + column.codes(column.read(frame[column.name])) + 1
    return cell


def _share(extra: float | None, ratio: float | None) -> float | None:
    if extra is None or ratio is None or ratio <= 1:
        return None
    return float(np.clip(extra / (ratio - 1), 0, 1))


def _picture(
    verdict: FeatureVerdict,
    columns: Sequence[Column],
    reference: pd.DataFrame,
    window: pd.DataFrame,
) -> Picture | None:
    if not columns:
        return None
    sides = [[c.read(frame[c.name]) for c in columns] for frame in (reference, window)]
    if verdict.aspect == "missing":
        rates = [(float(np.isnan(v).mean()), float((~np.isnan(v)).mean())) for (v,) in sides]
        ticks = ("missing", "present")
        return Picture(
            kind="bars", axis=columns[0].name, ticks=ticks, before=rates[0], after=rates[1]
        )
    if verdict.aspect == "association":
        return _along(columns, sides)
    return _histogram(columns[0], sides[0][0], sides[1][0])


def _histogram(column: Column, before: Floats, after: Floats) -> Picture:
    present = [values[~np.isnan(values)] for values in (before, after)]
    if isinstance(column, CategoricalColumn):
        ticks = (*column.levels, "other")
        counts = [np.bincount(v.astype(np.intp), minlength=column.bins) for v in present]
    else:
        low, high = (
            float(pick(np.quantile(v, q) for v in present))
            for pick, q in ((min, 0.005), (max, 0.995))
        )
        edges = np.linspace(low, high, _BARS + 1) if high > low else np.array([low, low + 1])
        counts = [np.histogram(np.clip(v, edges[0], edges[-1]), edges)[0] for v in present]
        ticks = tuple(f"{edge:.4g}" for edge in edges[:-1])
    shares = [tuple(float(share) for share in c / c.sum()) for c in counts]
    return Picture(kind="bars", axis=column.name, ticks=ticks, before=shares[0], after=shares[1])


def _along(columns: Sequence[Column], sides: Sequence[Sequence[Floats]]) -> Picture:
    """The second column's mean along the first."""
    first = columns[0]
    x = sides[0][0][~np.isnan(sides[0][0])]
    if isinstance(first, NumericColumn):
        edges = np.unique(np.quantile(x, np.arange(1, _STEPS) / _STEPS))
        middles = np.quantile(x, (np.arange(len(edges) + 1) + 0.5) / (len(edges) + 1))
        ticks = tuple(f"{middle:.4g}" for middle in middles)
        steps = [np.searchsorted(edges, side[0]) for side in sides]
    else:
        ticks = (*getattr(first, "levels", ()), "other")
        steps = [np.nan_to_num(side[0], nan=-1).astype(np.intp) for side in sides]
    lines = [
        tuple(_mean(side[1][(step == i) & ~np.isnan(side[0])]) for i in range(len(ticks)))
        for side, step in zip(sides, steps, strict=True)
    ]
    axis = f"mean of {columns[1].name} along {first.name}"
    return Picture(kind="line", axis=axis, ticks=ticks, before=lines[0], after=lines[1])


def _mean(values: Floats) -> float | None:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None
