"""Write a Great Expectations suite from a reference.

The rules ask whether the data are broken, not whether the world has moved: ranges leave room, sets
may grow, and only what no model can be trained on holds a window back. Every rule carries its
``severity`` in its ``meta``, for a person to change; `perennial.validation.edits` keeps the changes
when a suite is learned again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd

from perennial.packaging.signature import Feature
from perennial.spec import PipelineSpec
from perennial.validation.ranges import learn_range
from perennial.validation.row_rules import hash_rows
from perennial.validation.rules import Severity

MISSING_SLACK = 0.3
"""The share of missing values may grow by this much."""
_SET_LIMIT = 50
_MINIMUM_ROWS = 20
_NUMBERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)] + [
    "float32",
    "float64",
    "bool",
]
_FAR = 10.0
"""How many times its width a number to predict may lie beyond its learned range: the world may move
there, and one label far out ruins a regression."""
_TREND = 0.8
"""Rank correlation with the order of the rows from which a column is taken to grow for ever."""
_UNIQUE_ROWS = 200
_RELATION_ROWS = 20_000
_RELATIONS = 20


def learn_suite(
    frame: pd.DataFrame, features: Iterable[Feature], spec: PipelineSpec
) -> dict[str, Any]:
    """Learn expectations from reference rows.

    Args:
        frame: the reference in time order: features and target as columns, the time if declared.

    Returns:
        The suite as Great Expectations writes it, without its run-time ids.
    """
    features = tuple(features)
    rules = [
        _rule("expect_table_row_count_to_be_between", "hold", min_value=_MINIMUM_ROWS),
        _rule("expect_column_values_to_not_be_null", "hold", column=spec.target),
        _target_rule(frame[spec.target], spec),
        *_row_rules(frame, spec),
    ]
    for feature in features:
        rules.append(_rule("expect_column_to_exist", "hold", column=feature.name))
        column = frame[feature.name]
        rules += _type_rule(column, feature)
        rules += _missing_rule(column)
        rules += _numeric_rule(column) if feature.kind == "numeric" else _set_rule(column)
    rules += _relation_rules(frame, [f.name for f in features if f.kind == "numeric"])
    return {"name": spec.name, "expectations": rules, "meta": {"learned_from_rows": len(frame)}}


def _rule(kind: str, severity: Severity, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "meta": {"severity": severity}}


def _target_rule(target: pd.Series, spec: PipelineSpec) -> dict[str, Any]:
    if spec.task == "regression":
        values = target.dropna().astype(float)
        values = values[np.isfinite(values)]
        low, high = learn_range(values.to_numpy())
        room = _FAR * (high - low)
        return _between(spec.target, "quarantine", low - room, high + room)
    kind = "expect_column_unique_value_count_to_be_between"
    return _rule(kind, "hold", column=spec.target, min_value=2)


def _row_rules(frame: pd.DataFrame, spec: PipelineSpec) -> Iterator[dict[str, Any]]:
    """No row twice, where none was; time in order, as far as it was."""
    if len(frame) >= _UNIQUE_ROWS and not pd.Series(hash_rows(frame)).duplicated().any():
        columns = [str(name) for name in frame.columns]
        yield _rule("expect_compound_columns_to_be_unique", "quarantine", column_list=columns)
    if spec.time is not None and spec.time in frame.columns:
        in_order = float((frame[spec.time].diff().dropna() >= pd.Timedelta(0)).mean())
        yield _rule(
            "expect_column_values_to_be_increasing",
            "warn",
            column=spec.time,
            mostly=_down(in_order - 0.05),
        )


def _type_rule(column: pd.Series, feature: Feature) -> list[dict[str, Any]]:
    if column.isna().all():
        return []
    if feature.kind == "numeric" and pd.api.types.is_string_dtype(column.dtype):
        return []
    kinds = _NUMBERS if feature.kind == "numeric" else ["str"]
    kind = "expect_column_values_to_be_in_type_list"
    return [_rule(kind, "hold", column=feature.name, type_list=kinds)]


def _missing_rule(column: pd.Series) -> list[dict[str, Any]]:
    mostly = _down(1 - float(column.isna().mean()) - MISSING_SLACK)
    if mostly <= 0:
        return []
    return [
        _rule("expect_column_values_to_not_be_null", "warn", column=str(column.name), mostly=mostly)
    ]


def _numeric_rule(column: pd.Series) -> list[dict[str, Any]]:
    """A range that only errors leave; a column that grows for ever leaves any."""
    values = column.dropna().astype(float)
    values = values[np.isfinite(values)]
    if values.empty:
        return []
    low, high = learn_range(values.to_numpy())
    if _grows(values):
        return [_between(str(column.name), "warn", low, high, mostly=0.9)]
    return [_between(str(column.name), "quarantine", low, high)]


def _grows(values: pd.Series) -> bool:
    if values.nunique() < 3:
        return False
    order = pd.Series(np.arange(len(values), dtype=float))
    return bool(abs(order.corr(values.reset_index(drop=True).rank())) > _TREND)


def _between(
    column: str, severity: Severity, low: float, high: float, **kwargs: Any
) -> dict[str, Any]:
    bounds = {"min_value": low, "max_value": high}
    return _rule("expect_column_values_to_be_between", severity, column=column, **bounds, **kwargs)


def _set_rule(column: pd.Series) -> list[dict[str, Any]]:
    values = sorted(str(value) for value in column.dropna().unique())
    if not 0 < len(values) <= _SET_LIMIT:
        return []
    return [
        _rule(
            "expect_column_values_to_be_in_set",
            "warn",
            column=str(column.name),
            value_set=values,
            mostly=0.5,
        )
    ]


def _relation_rules(frame: pd.DataFrame, names: list[str]) -> list[dict[str, Any]]:
    """Pairs of which one is never the smaller, though their ranges overlap: lowest and highest
    price, dew point and temperature."""
    rows = frame.iloc[:: max(1, len(frame) // _RELATION_ROWS)]
    columns = {name: rows[name].astype(float).to_numpy() for name in names}
    rich = {n: v for n, v in columns.items() if len(np.unique(v[~np.isnan(v)])) > 10}
    found = []
    for a, b in permutations(rich, 2):
        both = ~np.isnan(rich[a]) & ~np.isnan(rich[b])
        left, right = rich[a][both], rich[b][both]
        if len(left) < _UNIQUE_ROWS or not (left >= right).all() or (left == right).all():
            continue
        # Rows of the one that would break the relation beside another row of the other.
        overlap = float((left < np.median(right)).mean() + (right > np.median(left)).mean())
        if overlap > 0.1:
            found.append((overlap, a, b))
    kind = "expect_column_pair_values_a_to_be_greater_than_b"
    return [
        _rule(kind, "warn", column_A=a, column_B=b, or_equal=True, mostly=0.95)
        for _, a, b in sorted(found, reverse=True)[:_RELATIONS]
    ]


def _down(share: float) -> float:
    return max(0.0, float(np.floor(share * 100) / 100))
