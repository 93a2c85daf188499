"""A base with a new head on it, and how well such a head does on rows that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from perennial.evaluation.division import HEAD_WINDOWS
from perennial.evaluation.metrics import row_losses
from perennial.evaluation.mixing import HeadTrial, Mixture, mix, try_heads
from perennial.evaluation.targets import encode_known
from perennial.packaging.parity import Parity, check_parity
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.packaging.signature import Signature
from perennial.spec import PipelineSpec
from perennial.training.estimator import Columns, TrainingSet, both, or_none
from perennial.training.heads.fit import fit_head, fit_heads
from perennial.training.heads.head import Head
from perennial.training.heads.mixed import mix_heads


@dataclass(frozen=True, eq=False)
class Healed:
    """What `heal` made."""

    model: bytes
    """The graph with a head that has seen all rows."""
    trial: bytes
    """The same with a head that has not seen the newest ones: what a gate can judge."""
    parity: Parity
    """Of ``model`` and what it was composed from."""


def is_stale(fitted: NDArray[np.intp], rows: NDArray[np.intp]) -> bool:
    """Whether heads are to be fitted anew: on windows that are not short, after each of them.

    Args:
        fitted: numbers of the rows that the last ones were fitted on, growing.
        rows: of those that they would be fitted on now.
    """
    if not len(rows) or fitted[-1] > rows[-1] or not len(fitted) / 2 < len(rows) < 2 * len(fitted):
        return True
    fresh = int(np.count_nonzero(rows > fitted[-1]))
    return fresh > len(rows) / (HEAD_WINDOWS + 1)


def heal(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    base: bytes,
    signature: Signature,
    mixture: Mixture | None,
    *,
    left_out: int,
) -> Healed:
    """Fit a head twice, with and without the newest rows, and compose each with the base.

    Holding rows out for good would cost a head dearly, which is fitted on few and on the newest. So
    it is judged by forward validation, and then fitted anew.

    Args:
        frame: the rows to fit on, labelled, in time order; of a class that the base does not know,
            none counts.
        base: ``model.onnx`` of a version without a head.
        signature: its signature.
        mixture: shares of the heads; None gives the base itself, twice.
        left_out: newest rows that the trial does not see.

    Raises:
        TrainingError: there is nothing to learn from; see `fit_head`.
        ModelError: the base cannot be loaded or run.
    """
    predictor = Predictor(base, signature)
    inputs = encode_frame(signature, frame)
    if mixture is None:
        return Healed(base, base, check_parity(base, signature, predictor.predict, *inputs))

    def fit(rows: pd.DataFrame) -> Head:
        return mix_heads(mixture, fit_on(rows, spec, predictor))

    head = fit(frame)
    model = head.compose(base, signature)

    def source(numeric: Columns, categorical: Columns) -> NDArray[Any]:
        return head.predict(numeric, categorical, predictor.predict(numeric, categorical))

    return Healed(
        model=model,
        trial=fit(frame.iloc[: len(frame) - left_out]).compose(base, signature),
        parity=check_parity(model, signature, source, *inputs),
    )


@dataclass(frozen=True, eq=False)
class Born:
    """What `give_heads` made of a new base."""

    model: bytes
    """The graph with the heads that it has earned, fitted on all rows left to them."""
    trial: bytes
    """The same base with a head that has not seen the rows to be judged on."""
    rival: bytes
    """The champion's base with a head of the same rows: a fair match."""
    mixture: Mixture
    trials: tuple[HeadTrial, ...]
    parity: Parity


def give_heads(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    base: bytes,
    signature: Signature,
    rival: bytes,
    rival_signature: Signature,
    *,
    judged: int,
) -> Born:
    """Put heads on a new base, fitted on rows that it was not trained on.

    Args:
        frame: these rows, labelled, in time order.
        base: ``model.onnx`` of the new base.
        rival: that of the champion's base.
        judged: how many of the newest rows the trials do not see.

    Raises:
        TrainingError: there is nothing to learn from; see `fit_head`.
        ModelError: a base cannot be loaded or run.
    """
    older, newer = frame.iloc[: len(frame) - judged], frame.iloc[len(frame) - judged :]
    predictor = Predictor(base, signature)
    heads = fit_on(older, spec, predictor)
    y, output, answers = headed_answers(newer, spec, predictor, heads)
    trial = try_heads("born", spec.task, y, output, answers, Mixture(), metric=spec.metric)
    mixture = mix([trial])
    grown = mixture if mixture.depth is not None else None
    healed = heal(frame, spec, base, signature, grown, left_out=judged)
    theirs = _fit_correction(older, spec, Predictor(rival, rival_signature))
    return Born(
        model=healed.model,
        trial=heads[-1].compose(base, signature),
        rival=theirs.compose(rival, rival_signature),
        mixture=mixture,
        trials=(trial,),
        parity=healed.parity,
    )


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
