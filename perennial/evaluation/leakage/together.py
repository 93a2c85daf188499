"""Targets that are a function of two or three features.

Sums and differences with any weights by least squares; products, ratios and powers by least squares
on logarithms, or as one such pair beside a sum; a sum over a feature and a feature over a sum. For
classes two features by their difference, sum, product and ratio, and two codes by each pair of
theirs. Only what is exact counts: a strong model is no leak.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from perennial.evaluation.leakage.alone import explained_by
from perennial.evaluation.leakage.target import Floats

_SAMPLE = 800
_EXACT = 0.9995
_TELLS_CLASS = 0.98
_MOST = 3
_FEATURES = 40
_FEW_LEVELS = 50
_RANKS = 0.995
_TELLS_PAIR = 0.95
_BEYOND_EACH = 0.2
"""Of what the better of two features leaves, the most that both may leave."""


class Together(NamedTuple):
    """Features that make up the target."""

    names: tuple[str, ...]
    figure: float
    how: str


def makes_value(numeric: dict[str, Floats], y: Floats) -> Together | None:
    """Find up to three features of which a number is a function; y is (rows,)."""
    names = list(numeric)[:_FEATURES]
    if len(names) < 2 or len(y) < 4 * len(names) + 50:
        return None
    taken = np.linspace(0, len(y) - 1, min(_SAMPLE, len(y))).astype(int)
    x, t = np.column_stack([numeric[name] for name in names])[taken], y[taken]
    for how, design, goal in _forms(x, t):
        used = _fewest(design, goal)
        if used is not None:
            return Together(tuple(names[k] for k in used[0]), used[1], how)
    return _pair_and_sum(x, t, names)


def _forms(x: Floats, t: Floats) -> Iterator[tuple[str, Floats, Floats]]:
    """Yield (in words, design, what its sum has to give)."""
    yield "a sum of", x, t
    if (t > 0).all():
        yield "an exponential of a sum of", x, np.log(t)
    some = t != 0
    usable = np.flatnonzero((np.abs(x) > 0).mean(axis=0) > 0.9)
    if some.mean() > 0.5 and len(usable) >= 2:
        rows = some & (np.abs(x[:, usable]) > 0).all(axis=1)
        if rows.mean() > 0.3:
            logs = np.zeros_like(x)
            logs[np.ix_(rows, usable)] = np.log(np.abs(x[np.ix_(rows, usable)]))
            yield "a product or ratio of", logs[rows], np.log(np.abs(t[rows]))


def _fewest(design: Floats, goal: Floats) -> tuple[list[int], float] | None:
    """The fewest columns that explain the goal exactly, at most three; None: there are not any."""
    kept = [k for k in range(design.shape[1]) if design[:, k].std() > 0]
    if len(kept) < 2 or _explained(design[:, kept], goal) < _EXACT:
        return None
    while len(kept) > 1:
        figures = [_explained(design[:, [k for k in kept if k != out]], goal) for out in kept]
        best = int(np.argmax(figures))
        if figures[best] < _EXACT:
            break
        kept.pop(best)
    if not 2 <= len(kept) <= _MOST:
        return None
    return kept, _explained(design[:, kept], goal)


def _explained(design: Floats, goal: Floats) -> float:
    """Of the second half's variance by a fit to the first, and back."""
    total = float(((goal - goal.mean()) ** 2).sum())
    if total <= 0:
        return 0.0
    x = np.column_stack([np.ones(len(goal)), (design - design.mean(0)) / design.std(0)])
    left, even = 0.0, np.arange(len(goal)) % 2 == 0
    for part in (even, ~even):
        weights = np.linalg.lstsq(x[part], goal[part], rcond=None)[0]
        left += float(((goal[~part] - x[~part] @ weights) ** 2).sum())
    return 1 - left / total


def _pair_and_sum(x: Floats, t: Floats, names: list[str]) -> Together | None:
    """A product or ratio of two features, alone or beside one more: y = a b + c, a / b + c."""
    for how, every, columns in _pairs(x):
        clean = np.isfinite(columns).all(axis=0)
        clean[clean] = columns[:, clean].std(axis=0) > 0
        made = columns[:, clean]
        pairs = [pair for pair, ok in zip(every, clean, strict=True) if ok]
        if not pairs:
            continue
        # What all features explain is taken off both sides: a pair is exact where the rest agrees.
        q, _ = np.linalg.qr(np.column_stack([np.ones(len(t)), _scaled(x)]))
        rest = t - q @ (q.T @ t)
        others = made - q @ (q.T @ made)
        norm = (others**2).sum(axis=0) * max(float((rest**2).sum()), 1e-300)
        share = (others.T @ rest) ** 2 / np.maximum(norm, 1e-300)
        for place in np.argsort(-share)[:3]:
            if share[place] < 0.99:
                break
            a, b = pairs[place]
            column = made[:, [place]]
            alone = _explained(column, t)
            if alone >= _EXACT:
                return Together((names[a], names[b]), alone, how)
            for c in range(x.shape[1]):
                if x[:, c].std() > 0:
                    figure = _explained(np.column_stack([column, x[:, c]]), t)
                    if figure >= _EXACT:
                        kept = tuple(dict.fromkeys((names[a], names[b], names[c])))
                        return Together(kept, figure, f"{how[:-3]}, with another, of")
    return _sum_over(x, t, names)


def _sum_over(x: Floats, t: Floats, names: list[str]) -> Together | None:
    """(a + b) / c and a / (b + c)."""
    for c in range(x.shape[1]):
        if (x[:, c] == 0).any():
            continue
        rest = [k for k in range(x.shape[1]) if k != c and x[:, k].std() > 0]
        goals = {"a sum over a feature of": t * x[:, c]}
        if (t != 0).all():
            goals["a feature over a sum of"] = x[:, c] / t
        for how, goal in goals.items():
            if goal.std() <= 0 or _explained(x[:, rest], goal) < _EXACT**2:
                continue
            used = _fewest(x[:, rest], goal)
            if used is not None and len(used[0]) < _MOST:
                members = (*(names[rest[k]] for k in used[0]), names[c])
                return Together(members, used[1], how)
    return None


def _pairs(x: Floats) -> Iterator[tuple[str, list[tuple[int, int]], Floats]]:
    pairs = list(combinations(range(x.shape[1]), 2))
    first, second = x[:, [a for a, _ in pairs]], x[:, [b for _, b in pairs]]
    with np.errstate(divide="ignore", invalid="ignore"):
        yield "a product of", pairs, first * second
        yield "a ratio of", pairs, first / second
        yield "a ratio of", [(b, a) for a, b in pairs], second / first


def _scaled(x: Floats) -> Floats:
    spread = x.std(axis=0)
    scaled: Floats = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return scaled


def makes_class(
    numeric: dict[str, Floats], frame: pd.DataFrame, names: list[str], y: Floats
) -> Together | None:
    """Find two features that together tell the class; y is (rows, columns) of indicators."""
    found = _by_codes(frame, names, y)
    return found if found is not None else _by_order(numeric, y)


def _by_codes(frame: pd.DataFrame, names: list[str], y: Floats) -> Together | None:
    codes = {}
    for name in names[:_FEATURES]:
        code, levels = pd.factorize(frame[name])
        if 2 <= len(levels) <= _FEW_LEVELS:
            codes[name] = code + 1
    for a, b in combinations(codes, 2):
        cell = codes[a] * (_FEW_LEVELS + 2) + codes[b]
        _, place = np.unique(cell, return_inverse=True)
        count = np.bincount(place)
        if len(count) > len(y) / 10:
            continue
        within = sum(
            float((count * (np.bincount(place, weights=column) / count) ** 2).sum())
            for column in y.T
        )
        if within / y.size < _TELLS_CLASS:
            continue
        figure = explained_by(pd.Series(place).astype(str), y)
        alone = max(explained_by(frame[name].astype(str), y) for name in (a, b))
        if figure >= _TELLS_CLASS and 1 - figure <= _BEYOND_EACH * (1 - alone):
            return Together((a, b), figure, "a pairing of")
    return None


def _by_order(numeric: dict[str, Floats], y: Floats) -> Together | None:
    """Two features, by whose difference, sum, product or ratio the rows of a class stand apart."""
    from scipy.stats import rankdata

    names = list(numeric)[:_FEATURES]
    if len(names) < 2:
        return None
    taken = np.linspace(0, len(y) - 1, min(_SAMPLE, len(y))).astype(int)
    whole = np.column_stack([numeric[name] for name in names])
    x = whole[taken]
    combined = [("a difference of", 0), ("a sum of", 1), ("a product of", 2), ("a ratio of", 3)]
    pairs = list(combinations(range(len(names)), 2))
    for column in range(y.shape[1]):
        truth = y[taken, column] == y[:, column].max()
        ones = int(truth.sum())
        if not 5 <= ones <= len(truth) - 5:
            continue
        for how, kind in combined:
            made = np.column_stack([_combine(x[:, a], x[:, b], kind) for a, b in pairs])
            ranks = rankdata(made, axis=0)
            auc = (ranks[truth].sum(axis=0) - ones * (ones + 1) / 2) / (ones * (len(truth) - ones))
            apart = np.maximum(auc, 1 - auc)
            for place in np.argsort(-apart)[:2]:
                if apart[place] < _RANKS:
                    break
                a, b = pairs[place]
                full = _combine(whole[:, a], whole[:, b], kind)
                figure = explained_by(pd.Series(full), y[:, [column]])
                alone = max(
                    explained_by(pd.Series(numeric[names[k]]), y[:, [column]]) for k in (a, b)
                )
                if figure >= _TELLS_PAIR and 1 - figure <= _BEYOND_EACH * (1 - alone):
                    return Together((names[a], names[b]), figure, how)
    return None


def _combine(a: Floats, b: Floats, kind: int) -> Floats:
    if kind == 3:
        ratio: Floats = np.divide(a, b, out=np.zeros_like(a), where=b != 0)
        return ratio
    made: Floats = (a - b, a + b, a * b)[kind]
    return made
