"""Choosing and fitting a model: forward validation, then a fit of the best family on all rows; and
the same family again, on other rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.datasets.served import time_field
from perennial.evaluation.metrics import GREATER_IS_BETTER, row_losses, score
from perennial.packaging.predictor import encode_frame
from perennial.packaging.signature import Signature
from perennial.spec import EstimatorName, MetricName, PipelineSpec
from perennial.training.budget import Budget
from perennial.training.columns import encode_target, infer_context, infer_features
from perennial.training.estimator import Estimator, FittedModel, TrainingSet, both, load_estimator
from perennial.training.split import newest

VALIDATION_SHARE = 0.15


@dataclass(frozen=True)
class FamilyScore:
    """How one family did on the newest rows, after learning from the older ones."""

    estimator: EstimatorName
    metric: MetricName
    value: float | None = None
    """The pipeline's metric; None where it is undefined or the family was left out."""
    loss: float | None = None
    """Mean of `perennial.evaluation.metrics.row_losses`; None as above."""
    seconds: float = 0.0
    """Of the fit on the older rows."""
    rounds: int | None = None
    """Boosting rounds or epochs that early stopping chose."""
    skipped: str | None = None
    """Why the family was left out."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A model of a known family, fitted on all rows that were given."""

    estimator: EstimatorName
    signature: Signature
    model: FittedModel
    rows: int


@dataclass(frozen=True, eq=False)
class Trained(Fitted):
    """A model fitted on all rows, and how it was chosen."""

    scores: tuple[FamilyScore, ...]
    """One a declared family, in the order of the declaration."""
    validation_rows: int
    seconds: float
    """Of all fits together."""


@dataclass(frozen=True, eq=False)
class _Contender:
    estimator: Estimator
    model: FittedModel
    result: FamilyScore


def train(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    *,
    half_life: int | None = None,
    spent: float = 0.0,
    refits: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """Fit the declared families on the older rows, compare them on the newest, refit the best.

    The same rows and seed give the same model, bit by bit, as long as the time budget leaves out
    the same families.

    Args:
        frame: features and target, in time order; every row has a label.
        spec: of the pipeline; ``spec.model`` names families, time budget and seed.
        half_life: a row that is so many rows older than another counts half as much; None: all
            alike.
        spent: seconds of the time budget that are gone.
        refits: how often the best is fitted on all rows, within the time budget: here, and by
            `fit` later.
        clock: seconds, only ever going up.

    Raises:
        TrainingError: there is nothing to learn from; see `encode_target` and `infer_features`.
    """
    signature, data = _prepare(frame, spec)
    data = replace(data, half_life=half_life)
    held = newest(data.y, spec.task, VALIDATION_SHARE)
    estimators = [load_estimator(name) for name in spec.model.estimators]
    budget = Budget(spec.model.time_budget.total_seconds() - spent, clock)
    contenders, scores = _compete(data, held, estimators, budget, spec.model.seed, refits)
    best = _best(contenders, spec.metric)
    return Trained(
        estimator=best.estimator.name,
        signature=signature,
        model=best.estimator.fit(data, seed=spec.model.seed, rounds=best.model.rounds),
        rows=len(data),
        scores=tuple(scores),
        validation_rows=int(held.sum()),
        seconds=budget.spent(),
    )


def fit(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    estimator: EstimatorName,
    *,
    rounds: int | None,
    half_life: int | None = None,
) -> Fitted:
    """Fit a family as `train` fits the one that it has chosen; arguments and errors as there.

    Args:
        rounds: boosting rounds or epochs; None: the family has no such thing.
    """
    signature, data = _prepare(frame, spec)
    model = load_estimator(estimator).fit(
        replace(data, half_life=half_life), seed=spec.model.seed, rounds=rounds
    )
    return Fitted(estimator, signature, model, len(data))


def training_set(frame: pd.DataFrame, spec: PipelineSpec) -> TrainingSet:
    """Bring rows into the form in which `train` fits them; arguments and errors as there."""
    return _prepare(frame, spec)[1]


def _prepare(frame: pd.DataFrame, spec: PipelineSpec) -> tuple[Signature, TrainingSet]:
    y, classes = encode_target(frame[spec.target], spec.task)
    signature = Signature(
        task=spec.task,
        target=spec.target,
        features=infer_features(frame, spec),
        context=infer_context(frame, spec),
        time=time_field(spec),
        classes=classes,
    )
    numeric, categorical = both(*encode_frame(signature, frame))
    data = TrainingSet(
        task=spec.task,
        metric=spec.metric,
        width=signature.width,
        numeric=numeric,
        categorical=categorical,
        y=y,
    )
    return signature, data


def _compete(
    data: TrainingSet,
    held: NDArray[Any],
    estimators: list[Estimator],
    budget: Budget,
    seed: int,
    refits: int,
) -> tuple[list[_Contender], list[FamilyScore]]:
    """Fit family after family on what is not held, as far as the budget goes."""
    older, newer = data.take(~held), data.take(held)
    contenders: list[_Contender] = []
    scores: list[FamilyScore] = []
    for estimator in estimators:
        guess = _guess(estimator, older)
        overrun = None
        if contenders:
            overrun = _overrun(contenders, estimator, data, guess, budget, refits)
        if overrun is not None:
            scores.append(FamilyScore(estimator.name, data.metric, skipped=overrun))
            continue
        start = budget.spent()
        model = estimator.fit(older, seed=seed)
        seconds = budget.spent() - start
        budget.record(guess, seconds)
        result = _score(estimator, model, newer, seconds)
        contenders.append(_Contender(estimator, model, result))
        scores.append(result)
    return contenders, scores


def _guess(estimator: Estimator, data: TrainingSet) -> float:
    columns = data.numeric.shape[1] + data.categorical.shape[1]
    return estimator.cost(len(data), columns, data.width)


def _overrun(
    contenders: list[_Contender],
    estimator: Estimator,
    data: TrainingSet,
    guess: float,
    budget: Budget,
    refits: int,
) -> str | None:
    """Say why one more family would not fit in; the refits of whichever wins have to fit too."""
    final = max(_guess(known, data) for known in (*(c.estimator for c in contenders), estimator))
    needed, left = budget.expect(guess) + refits * budget.expect(final), budget.left()
    if needed <= left:
        return None
    return (
        f"would take about {needed:.1f} s with the fits on all rows, "
        f"{max(left, 0.0):.1f} s of the time budget are left"
    )


def _score(
    estimator: Estimator, model: FittedModel, newer: TrainingSet, seconds: float
) -> FamilyScore:
    output = model.predict(newer.numeric, newer.categorical)
    value = score(newer.metric, newer.y, output)
    losses = row_losses(newer.task, newer.metric, newer.y, output)
    return FamilyScore(
        estimator=estimator.name,
        metric=newer.metric,
        value=value if np.isfinite(value) else None,
        loss=float(losses.mean()) if len(losses) else None,
        seconds=seconds,
        rounds=model.rounds,
    )


def _best(contenders: list[_Contender], metric: MetricName) -> _Contender:
    """Choose by the metric, by the loss where the metric is undefined, else the first declared."""
    sign = -1.0 if GREATER_IS_BETTER[metric] else 1.0

    def badness(contender: _Contender) -> float:
        if contender.result.value is not None:
            return sign * contender.result.value
        return 0.0 if contender.result.loss is None else contender.result.loss

    return min(contenders, key=badness)
