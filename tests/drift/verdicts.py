"""Verdicts as a look at a stream gives them."""

from __future__ import annotations

from perennial.drift.detector import FeatureVerdict, InputVerdict
from perennial.drift.loss import LossVerdict, Promise

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
