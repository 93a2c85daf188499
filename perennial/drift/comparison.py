"""What was found of each feature, before it is judged together with the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from perennial.drift.detector import Aspect, Direction, FeatureVerdict, InputVerdict, TestName
from perennial.errors import SourceError
from perennial.packaging.signature import Feature


@dataclass(frozen=True)
class Lasting:
    """The newest windows taken together."""

    p_value: float
    """Before the correction for many features; 1 where a window does not lean that way."""
    effect: float


@dataclass(frozen=True)
class Comparison:
    """One aspect on both sides, before the correction for many; fields as in `FeatureVerdict`."""

    feature: str
    aspect: Aspect
    test: TestName
    statistic: float
    p_value: float
    effect: float
    direction: Direction
    detail: str
    threshold: float | None = None
    """The effect from which it counts; None: the detector's."""
    values: int = 0
    levels: tuple[float, ...] = ()
    lasting: Lasting | None = None

    @classmethod
    def blank(cls, feature: str, aspect: Aspect) -> Comparison:
        """There was nothing to compare."""
        return cls(feature, aspect, "none", 0.0, 1.0, 0.0, "none", "no values")


class Levels(Protocol):
    """What all detectors' configurations have."""

    @property
    def kind(self) -> str:
        """The detector's name."""
        ...

    @property
    def p_value(self) -> float:
        """Level of the tests, over all features."""
        ...

    @property
    def effect_size(self) -> float:
        """The effect from which a shift counts."""
        ...

    @property
    def persistence(self) -> int:
        """In how many windows a shift must be seen."""
        ...


def judge(
    config: Levels,
    found: Sequence[Comparison],
    *,
    rows: int,
    reference_rows: int,
    history: Sequence[InputVerdict] = (),
) -> InputVerdict:
    """Correct the p-values for their number, hold each effect against its threshold, look back.

    Args:
        rows: of the window.
        history: verdicts on the windows before it, the oldest first.
    """
    before = history[max(len(history) - config.persistence + 1, 0) :]
    standing = (
        set.intersection(*({v.label for v in seen.culprits} for seen in before)) if before else None
    )
    complete = len(before) == config.persistence - 1
    verdicts = []
    for c, own, together in zip(
        found,
        _corrected([c.p_value if c.test != "none" else None for c in found]),
        _corrected([c.lasting.p_value if c.lasting else None for c in found]),
        strict=True,
    ):
        verdict = _verdict(c, own, config)
        in_each = complete and (standing is None or verdict.label in standing)
        lasts = (
            c.lasting is not None
            and together <= config.p_value
            and c.lasting.effect > verdict.threshold
        )
        confirmed = bool((verdict.shifted and in_each) or lasts)
        verdicts.append(verdict.model_copy(update={"confirmed": confirmed}))
    return InputVerdict(
        detector=config.kind,
        rows=rows,
        reference_rows=reference_rows,
        age=age_after(history),
        p_value=min((v.p_value for v in verdicts), default=1.0),
        effect=max((v.effect for v in verdicts), default=0.0),
        features=tuple(verdicts),
        shifted=any(v.shifted for v in verdicts),
        confirmed=any(v.confirmed for v in verdicts),
    )


def age_after(history: Sequence[InputVerdict]) -> int:
    """How many windows were checked before the one that follows."""
    return history[-1].age + 1 if history else 0


def _corrected(p_values: Sequence[float | None]) -> list[float]:
    """Control the false discovery rate over those there are; 1 for the others."""
    from scipy.stats import false_discovery_control

    there = [p for p in p_values if p is not None]
    corrected = iter(false_discovery_control(there) if there else [])
    return [1.0 if p is None else float(next(corrected)) for p in p_values]


def _verdict(c: Comparison, p_value: float, config: Levels) -> FeatureVerdict:
    threshold = config.effect_size if c.threshold is None else c.threshold
    return FeatureVerdict(
        feature=c.feature,
        aspect=c.aspect,
        test=c.test,
        statistic=c.statistic,
        p_value=p_value,
        effect=c.effect,
        threshold=threshold,
        direction=c.direction if p_value <= config.p_value else "none",
        detail=c.detail,
        shifted=bool(p_value <= config.p_value and c.effect > threshold),
        values=c.values,
        levels=c.levels,
    )


def require(frame: pd.DataFrame, features: Sequence[Feature], what: str) -> None:
    """Refuse a frame that lacks a feature.

    Raises:
        SourceError: it does.
    """
    lacking = [f.name for f in features if f.name not in frame.columns]
    if lacking:
        raise SourceError(f"the {what} lacks {', '.join(lacking)}")
