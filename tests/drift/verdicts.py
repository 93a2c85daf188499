"""Verdicts as a look at a stream gives them."""

from __future__ import annotations

import numpy as np

from perennial.drift.detector import FeatureVerdict, InputVerdict
from perennial.drift.loss import LossVerdict, Promise
from perennial.evaluation.mixing import MemberErrors
from perennial.store.layout import window_name

PROMISE = Promise(rows=100, measured=1.0, mean=1.0, variance=1.0, stderr=0.05, freedom=9)


def loss(ratio: float, stderr: float = 0.05) -> LossVerdict:
    return LossVerdict(
        window="w000001",
        rows=100,
        loss=ratio,
        stderr=stderr,
        freedom=9,
        promise=PROMISE,
        ratio=ratio,
        low=ratio,
        high=ratio,
        p_value=0.5,
        risen=False,
    )


def inputs(*shifted: str) -> InputVerdict:
    features = tuple(
        FeatureVerdict(
            feature=name,
            aspect="values",
            test="ks",
            statistic=0.5,
            p_value=0.0,
            effect=1.0,
            threshold=0.2,
            direction="up",
            detail="mean 1 -> 2",
            shifted=name in shifted,
            confirmed=name in shifted,
        )
        for name in ("heat", "wind")
    )
    return InputVerdict(
        detector="tabular",
        rows=100,
        reference_rows=1000,
        p_value=0.0,
        effect=1.0,
        features=features,
        shifted=bool(shifted),
        confirmed=bool(shifted),
    )


def answered(
    number: int, *, rows: int = 100, late: int = 1, alike: float = 0.95, **sizes: float
) -> MemberErrors:
    """What members got wrong in a window: errors of these sizes, for the most part the same ones.

    Members that are not named have no model of their own.
    """
    errors = np.array(list({"first": 1.0, **sizes}.values()))
    same = np.full((len(errors), len(errors)), alike)
    np.fill_diagonal(same, 1.0)
    products = np.outer(errors, errors) * same
    return MemberErrors(
        window=window_name(number),
        rows=rows,
        late=late,
        first="0001-a",
        members=("first", *(name for name in sizes if name != "first")),
        products=tuple(tuple(row) for row in products.tolist()),
    )
