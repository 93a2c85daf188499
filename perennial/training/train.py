"""Choosing and fitting a model: forward validation, then a fit of the best family on all rows; and
the same family again, on other rows.

The first declared family stands unless another one is clearly better, and better on every fold: the
best of several on one stretch of a stream is mostly luck, and the rows to come pay for it. A rival
begins on the newest fold, and is given up once it can no longer win (successive halving; Jamieson &
Talwalkar, AISTATS 2016).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.datasets.served import time_field
from perennial.errors import TrainingError
from perennial.evaluation.metrics import row_losses, score
from perennial.evaluation.paired import batch_mean, paired_losses
from perennial.evaluation.targets import encode_known
from perennial.packaging.predictor import encode_frame
from perennial.packaging.signature import Signature
from perennial.spec import EstimatorName, MetricName, PipelineSpec
from perennial.training.budget import Budget
from perennial.training.columns import encode_target, infer_context, infer_features
from perennial.training.estimator import Estimator, FittedModel, TrainingSet, both, load_estimator
from perennial.training.split import Fold, forward_folds
from perennial.training.trial import Behind, FoldTrial

CLEARLY, LIKELY = 0.95, 0.8
"""Confidence at which a rival takes the first family's place, and after its first fold."""


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
    """Of its trials."""
    rounds: int | None = None
    """Boosting rounds or epochs that its trials chose."""
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
    """A family that has been tried on every fold."""

    estimator: Estimator
    rounds: int | None
    paired: tuple[NDArray[Any], ...]
    """Losses of each fold's newer rows, whose mean moves as the metric does: (rows,)."""
    losses: tuple[NDArray[Any], ...]
    """`perennial.evaluation.metrics.row_losses` of these rows."""


def train(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    *,
    spent: float = 0.0,
    refits: int = 1,
    clock: Callable[[], float] = time.monotonic,
) -> Trained:
    """Try the declared families on forward folds, and fit the one that stands on all rows.

    The same rows and seed give the same model, bit by bit, as long as the time budget leaves out
    the same families.

    Args:
        frame: features and target, in time order; every row has a label.
        spec: of the pipeline; ``spec.model`` names families, time budget and seed.
        spent: seconds of the time budget that are gone.
        refits: how often the best is fitted on all rows, within the time budget: here, and by
            `fit` later.
        clock: seconds, only ever going up.

    Raises:
        TrainingError: there is nothing to learn from; see `encode_target` and `infer_features`.
    """
    signature, data = _prepare(frame, spec)
    folds = forward_folds(data)
    estimators = [load_estimator(name) for name in spec.model.estimators]
    budget = Budget(spec.model.time_budget.total_seconds() - spent, clock)
    competition = _Competition(data, folds, budget, spec.model.seed, refits)
    scores = tuple(competition.enter(estimator) for estimator in estimators)
    best = competition.best()
    return Trained(
        estimator=best.estimator.name,
        signature=signature,
        model=best.estimator.fit(data, seed=spec.model.seed, rounds=best.rounds),
        rows=len(data),
        scores=scores,
        validation_rows=len(folds[-1].newer) if folds else 0,
        seconds=budget.spent(),
    )


def fit(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    estimator: EstimatorName,
    *,
    rounds: int | None,
) -> Fitted:
    """Fit a family as `train` fits the one that it has chosen; arguments and errors as there.

    Args:
        rounds: boosting rounds or epochs; None: the family has no such thing.
    """
    signature, data = _prepare(frame, spec)
    model = load_estimator(estimator).fit(data, seed=spec.model.seed, rounds=rounds)
    return Fitted(estimator, signature, model, len(data))


def refit(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    signature: Signature,
    estimator: EstimatorName,
    *,
    rows: int,
    rounds: int | None,
) -> Fitted:
    """Fit a family on the newest rows, for the features and classes that a model before it had.

    Args:
        frame: features and target, in time order. Rows of other classes do not count.
        signature: of that model.
        rows: newest of the frame to learn from; of a class that none of them has, one older row is
            taken, too.
        rounds: boosting rounds or epochs; None: as the family finds out.

    Raises:
        TrainingError: no row of some class is left.
    """
    data = encode_rows(frame, spec, signature)
    chosen = np.arange(max(0, len(data) - rows), len(data))
    if spec.task != "regression":
        chosen = np.union1d(chosen, _newest_of_each(data.y, signature.classes))
    data = data.take(chosen)
    model = load_estimator(estimator).fit(data, seed=spec.model.seed, rounds=rounds)
    return Fitted(estimator, signature, model, len(data))


def _newest_of_each(y: NDArray[Any], classes: tuple[str, ...]) -> list[int]:
    """Number the newest row of each class."""
    newest = []
    for index, name in enumerate(classes):
        rows = np.flatnonzero(y == index)
        if not len(rows):
            raise TrainingError(f"no row of the class {name!r} is left to learn from")
        newest.append(int(rows[-1]))
    return newest


def encode_rows(frame: pd.DataFrame, spec: PipelineSpec, signature: Signature) -> TrainingSet:
    """Bring the rows of a frame whose label a model has terms for into the form of a fit."""
    y, known = encode_known(frame[spec.target], signature)
    numeric, categorical = both(*encode_frame(signature, frame[known]))
    return TrainingSet(spec.task, spec.metric, signature.width, numeric, categorical, y)


def signature_of(frame: pd.DataFrame, spec: PipelineSpec) -> Signature:
    """Say what a model of these rows takes and gives; errors as `train`."""
    return _signature(frame, spec, encode_target(frame[spec.target], spec.task)[1])


def _signature(frame: pd.DataFrame, spec: PipelineSpec, classes: tuple[str, ...]) -> Signature:
    return Signature(
        task=spec.task,
        target=spec.target,
        features=infer_features(frame, spec),
        context=infer_context(frame, spec),
        time=time_field(spec),
        classes=classes,
    )


def _prepare(frame: pd.DataFrame, spec: PipelineSpec) -> tuple[Signature, TrainingSet]:
    y, classes = encode_target(frame[spec.target], spec.task)
    signature = _signature(frame, spec, classes)
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


class _Competition:
    """Families that are tried one after the other, as far as the time budget goes."""

    def __init__(
        self, data: TrainingSet, folds: tuple[Fold, ...], budget: Budget, seed: int, refits: int
    ) -> None:
        self._data, self._folds = data, folds
        self._budget, self._seed, self._refits = budget, seed, refits
        self._contenders: list[_Contender] = []

    def enter(self, estimator: Estimator) -> FamilyScore:
        """Try one more family."""
        start = self._budget.spent()
        if not self._contenders:
            trials = self._try(estimator, self._folds)
            self._contenders.append(self._contender(estimator, trials))
            return self._score(estimator, trials, start)
        return self._challenge(estimator, start)

    def best(self) -> _Contender:
        """The first family, or the best of those that are clearly better."""
        first, *rivals = self._contenders
        better = [rival for rival in rivals if _takes_over(rival, first)]
        return min(better, key=lambda rival: np.concatenate(rival.paired).mean(), default=first)

    def _challenge(self, estimator: Estimator, start: float) -> FamilyScore:
        first, metric = self._contenders[0], self._data.metric

        def behind(output: NDArray[Any]) -> bool:
            return _lower(first.paired[-1], _paired(self._folds[-1], output), LIKELY)

        trials: list[FoldTrial] = []
        for number in reversed(range(len(self._folds))):
            overrun = self._overrun(estimator, self._folds[: number + 1])
            if overrun is not None:
                return FamilyScore(estimator.name, metric, skipped=overrun)
            trial = self._try_one(estimator, self._folds[number], None if trials else behind)
            if trial is None:
                return FamilyScore(
                    estimator.name,
                    metric,
                    seconds=self._budget.spent() - start,
                    skipped=f"clearly behind {first.estimator.name} after a glance",
                )
            trials.insert(0, trial)
            if not self._may_win(estimator, trials):
                break
        else:
            self._contenders.append(self._contender(estimator, trials))
        return self._score(estimator, trials, start)

    def _may_win(self, estimator: Estimator, trials: Sequence[FoldTrial]) -> bool:
        """Whether a rival is likely better on the newest fold, and no worse on one before."""
        first, rival = self._contenders[0], self._contender(estimator, trials)
        if len(trials) == 1:
            return _lower(rival.paired[0], first.paired[-1], LIKELY)
        return bool(rival.losses[0].mean() <= first.losses[-len(trials)].mean())

    def _try(self, estimator: Estimator, folds: Sequence[Fold]) -> list[FoldTrial]:
        trials = (self._try_one(estimator, fold) for fold in folds)
        return [trial for trial in trials if trial is not None]

    def _try_one(
        self, estimator: Estimator, fold: Fold, behind: Behind | None = None
    ) -> FoldTrial | None:
        start = self._budget.spent()
        trial = estimator.trial(fold, seed=self._seed, behind=behind)
        if trial is not None:  # what was given up tells nothing of the pace
            self._budget.record(_guess(estimator, fold.older), self._budget.spent() - start)
        return trial

    def _contender(self, estimator: Estimator, trials: Sequence[FoldTrial]) -> _Contender:
        """Take a family with its trials on the newest folds, or on all."""
        rounds = estimator.rounds(trials)
        folds = self._folds[len(self._folds) - len(trials) :]
        outputs = [trial.answer(rounds) for trial in trials]
        both = list(zip(folds, outputs, strict=True))
        return _Contender(
            estimator,
            rounds,
            paired=tuple(_paired(fold, output) for fold, output in both),
            losses=tuple(_losses(fold.newer, output) for fold, output in both),
        )

    def _score(
        self, estimator: Estimator, trials: Sequence[FoldTrial], start: float
    ) -> FamilyScore:
        """Tell how a family did on the newest fold, the one that all are tried on."""
        rounds, seconds = estimator.rounds(trials), self._budget.spent() - start
        if not trials:
            return FamilyScore(estimator.name, self._data.metric, seconds=seconds, rounds=rounds)
        newer, output = self._folds[-1].newer, trials[-1].answer(rounds)
        value = score(newer.metric, newer.y, output)
        return FamilyScore(
            estimator=estimator.name,
            metric=newer.metric,
            value=value if np.isfinite(value) else None,
            loss=float(_losses(newer, output).mean()),
            seconds=seconds,
            rounds=rounds,
        )

    def _overrun(self, estimator: Estimator, folds: Sequence[Fold]) -> str | None:
        """Say why trials would not fit in; the refits of whichever wins have to fit too."""
        families = [*(known.estimator for known in self._contenders), estimator]
        final = max(_guess(family, self._data) for family in families)
        trials = sum(_guess(estimator, fold.older) for fold in folds)
        needed, left = self._budget.expect(trials + self._refits * final), self._budget.left()
        if needed <= left:
            return None
        return (
            f"would take about {needed:.1f} s with the fits on all rows, "
            f"{max(left, 0.0):.1f} s of the time budget are left"
        )


def _guess(estimator: Estimator, data: TrainingSet) -> float:
    columns = data.numeric.shape[1] + data.categorical.shape[1]
    return estimator.cost(len(data), columns, data.width)


def _paired(fold: Fold, output: NDArray[Any]) -> NDArray[Any]:
    newer = fold.newer
    return paired_losses(newer.task, newer.metric, newer.y, output)


def _losses(newer: TrainingSet, output: NDArray[Any]) -> NDArray[Any]:
    return row_losses(newer.task, newer.metric, newer.y, output)


def _takes_over(rival: _Contender, first: _Contender) -> bool:
    """Whether a rival is clearly better by the metric, and on no fold worse by the loss that
    monitor and gate count in: a better ranking of worse probabilities is no clear win."""
    pairs = zip(rival.losses, first.losses, strict=True)
    return bool(rival.paired) and (
        all(one.mean() <= other.mean() for one, other in pairs)
        and _lower(np.concatenate(rival.paired), np.concatenate(first.paired), CLEARLY)
    )


def _lower(one: NDArray[Any], other: NDArray[Any], level: float) -> bool:
    """Whether losses (rows,) are lower than others of the same rows, at a confidence."""
    return batch_mean(other - one).interval(2 * level - 1)[0] > 0
