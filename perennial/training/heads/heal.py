"""A base with a new head on it, and how well such a head does on rows that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from perennial.evaluation.metrics import row_losses
from perennial.evaluation.mixing import HeadTrial, Mixture, mix, try_heads
from perennial.evaluation.targets import encode_known
from perennial.packaging.parity import Parity, check_parity
from perennial.packaging.predictor import Packaged, Predictor, encode_frame
from perennial.packaging.signature import Signature
from perennial.spec import PipelineSpec
from perennial.training.estimator import Columns, TrainingSet, both, or_none
from perennial.training.heads.fit import fit_head, fit_heads
from perennial.training.heads.head import Head
from perennial.training.heads.mixed import mix_heads


@dataclass(frozen=True, eq=False)
class Healed:
    """A base with a head on it."""

    base: Packaged
    head: Head | None
    """None: the base alone."""

    @cached_property
    def packaged(self) -> Packaged:
        """Both as one graph."""
        return self.base if self.head is None else _composed(self.head, self.base)

    def source(self, numeric: Columns, categorical: Columns) -> NDArray[Any]:
        """Answer as what the graph was composed from does."""
        output = self.base.predictor.predict(numeric, categorical)
        return output if self.head is None else self.head.predict(numeric, categorical, output)

    def check(self, frame: pd.DataFrame) -> Parity:
        """Whether the graph answers as what it was composed from does, on rows of a frame."""
        packaged = self.packaged
        inputs = encode_frame(packaged.signature, frame)
        return check_parity(packaged.graph, packaged.signature, self.source, *inputs)


def heal(
    frame: pd.DataFrame, spec: PipelineSpec, base: Packaged, mixture: Mixture | None
) -> Healed:
    """Fit heads on the rows of a frame and put them on the base.

    Args:
        frame: the rows to fit on, labelled, in time order; of a class that the base does not know,
            none counts.
        base: without a head.
        mixture: shares of the heads; None gives the base itself.

    Raises:
        TrainingError: there is nothing to learn from; see `fit_head`.
        ModelError: the base cannot be loaded or run.
    """
    if mixture is None:
        return Healed(base, None)
    return Healed(base, mix_heads(mixture, fit_on(frame, spec, base.predictor)))


@dataclass(frozen=True, eq=False)
class Tried:
    """How `try_on` found that heads do on a new base."""

    trial: Packaged
    """The base with a head that has not seen the rows to be judged on."""
    rival: Packaged
    """The champion's base with a head of the same rows: a fair match."""
    mixture: Mixture
    """The shares that the heads have earned; without a depth they have earned none."""
    trials: tuple[HeadTrial, ...]


def try_on(
    older: pd.DataFrame,
    newer: pd.DataFrame,
    spec: PipelineSpec,
    base: Packaged,
    rival: Packaged,
) -> Tried:
    """Try heads on a new base, on rows that it was not trained on.

    Args:
        older: rows that heads are fitted on, labelled, in time order.
        newer: the rows behind them, which judge.
        rival: the champion's base.

    Raises:
        TrainingError: there is nothing to learn from; see `fit_head`.
        ModelError: a base cannot be loaded or run.
    """
    heads = fit_on(older, spec, base.predictor)
    y, output, answers = headed_answers(newer, spec, base.predictor, heads)
    trial = try_heads("born", spec.task, y, output, answers, Mixture(), metric=spec.metric)
    return Tried(
        trial=_composed(heads[-1], base),
        rival=_composed(_fit_correction(older, spec, rival.predictor), rival),
        mixture=mix([trial]),
        trials=(trial,),
    )


def _composed(head: Head, base: Packaged) -> Packaged:
    return Packaged(head.compose(base.graph, base.signature), base.signature)


def fit_on(frame: pd.DataFrame, spec: PipelineSpec, base: Predictor) -> tuple[Head, ...]:
    """Fit a head of each depth on the rows of a frame; see `fit_heads`."""
    data = _training_set(frame, spec, base.signature)
    return fit_heads(data, _answer(base, data))


def base_losses(frame: pd.DataFrame, spec: PipelineSpec, base: Predictor) -> NDArray[Any]:
    """Give the base's loss on each row of a frame that is of a class it knows."""
    data = _training_set(frame, spec, base.signature)
    return row_losses(spec.task, spec.metric, data.y, _answer(base, data))


def headed_answers(
    frame: pd.DataFrame, spec: PipelineSpec, base: Predictor, heads: Sequence[Head]
) -> tuple[NDArray[Any], NDArray[Any], list[NDArray[Any]]]:
    """Give the targets of a frame's rows, the base's output and that of each head (rows, width)."""
    data = _training_set(frame, spec, base.signature)
    output = _answer(base, data)
    return data.y, output, [h.predict(data.numeric, data.categorical, output) for h in heads]


def _fit_correction(frame: pd.DataFrame, spec: PipelineSpec, base: Predictor) -> Head:
    data = _training_set(frame, spec, base.signature)
    return fit_head("correct", data, _answer(base, data))


def _training_set(frame: pd.DataFrame, spec: PipelineSpec, signature: Signature) -> TrainingSet:
    y, known = encode_known(frame[spec.target], signature)
    numeric, categorical = both(*encode_frame(signature, frame[known]))
    return TrainingSet(spec.task, spec.metric, signature.width, numeric, categorical, y)


def _answer(predictor: Predictor, data: TrainingSet) -> NDArray[Any]:
    return predictor.predict(*or_none(data.numeric, data.categorical))
