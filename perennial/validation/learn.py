"""Write a Great Expectations suite from a reference.

The rules ask whether the data are broken, not whether the world has moved: ranges are wide, sets
may grow, and only what no model can be trained on holds a window back. Every rule carries its
``severity`` in its ``meta``; a person may change rules and severities in the JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from perennial.packaging.signature import Feature
from perennial.spec import PipelineSpec

RANGE_SLACK = 2.0
"""A numeric feature may leave the range of the reference by this multiple of the range."""
MISSING_SLACK = 0.3
"""The share of missing values may grow by this much."""
_SET_LIMIT = 50
_MINIMUM_ROWS = 20


def learn_suite(
    frame: pd.DataFrame, features: Iterable[Feature], spec: PipelineSpec
) -> dict[str, Any]:
    """Learn expectations from reference rows.

    Args:
        frame: the reference: features and target as columns.

    Returns:
        The suite as Great Expectations writes it, without its run-time ids.
    """
    rules = [
        _rule("expect_table_row_count_to_be_between", "hold", min_value=_MINIMUM_ROWS),
        _rule("expect_column_values_to_not_be_null", "hold", column=spec.target),
    ]
    rules += _target_rules(frame[spec.target], spec)
    for feature in features:
        rules.append(_rule("expect_column_to_exist", "hold", column=feature.name))
        column = frame[feature.name]
        rules += _missing_rule(column)
        rules += _numeric_rule(column) if feature.kind == "numeric" else _set_rule(column)
    return {"name": spec.name, "expectations": rules, "meta": {"learned_from_rows": len(frame)}}


def _rule(kind: str, severity: str, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, "meta": {"severity": severity}}


def _target_rules(target: pd.Series, spec: PipelineSpec) -> list[dict[str, Any]]:
    if spec.task == "regression":
        low, high = _wide_range(target.astype(float))
        return [
            _rule(
                "expect_column_values_to_be_between",
                "warn",
                column=spec.target,
                min_value=low,
                max_value=high,
                mostly=0.9,
            )
        ]
    return [
        _rule(
            "expect_column_unique_value_count_to_be_between",
            "hold",
            column=spec.target,
            min_value=2,
        )
    ]


def _missing_rule(column: pd.Series) -> list[dict[str, Any]]:
    mostly = round(1 - min(1.0, float(column.isna().mean()) + MISSING_SLACK), 4)
    if mostly <= 0:
        return []
    return [
        _rule("expect_column_values_to_not_be_null", "warn", column=str(column.name), mostly=mostly)
    ]


def _numeric_rule(column: pd.Series) -> list[dict[str, Any]]:
    values = column.dropna().astype(float)
    if values.empty:
        return []
    low, high = _wide_range(values)
    return [
        _rule(
            "expect_column_values_to_be_between",
            "warn",
            column=str(column.name),
            min_value=low,
            max_value=high,
            mostly=0.9,
        )
    ]


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


def _wide_range(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    slack = RANGE_SLACK * max(high - low, abs(high), 1e-9)
    return _short(low - slack), _short(high + slack)


def _short(value: float) -> float:
    """Four significant digits: the suite is read by people."""
    return float(f"{value:.4g}")
