"""The flawed challengers of a stream, each no worse than it has to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.rollout import challengers
from perennial.errors import ModelError
from perennial.evaluation.metrics import prediction_shift, row_losses
from perennial.evaluation.targets import encode_known
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.packaging.signature import Signature
from perennial.spec import PipelineSpec

SLOW = 0.05
WORSE = 0.2
"""By so much is the loss of the challenger greater that is worse on the live rows."""
WORSE_ON_SLICE = 0.5
"""By so much that of the biased one is, on the rows of one slice that is small."""

Category = tuple[str, str | float]
"""A feature, and one of its values."""


def flawed(
    spec: PipelineSpec,
    model: bytes,
    signature: Signature,
    *,
    past: pd.DataFrame,
    live: pd.DataFrame,
    category: Category,
) -> dict[str, bytes]:
    """Give a model one flaw each, by name.

    Args:
        past: rows before the live ones: of what size truths are.
        category: on which challengers answer NaN, or are biased.
    """
    truths = past[spec.target].dropna()
    centre = float(truths.mean())
    highest = 1.0 if signature.task == "binary" else float(truths.max())
    sound = _answer(spec, model, signature, live, category)
    return {
        "worse on live rows": challengers.blunted(
            model, signature, centre=centre, keep=sound.find_keep(centre)
        ),
        f"slow by {SLOW * 1e3:.0f} ms": challengers.slowed(model, signature, SLOW),
        "NaN on one category": challengers.nan_on(model, signature, *category),
        "fails at load": challengers.unloadable(model, signature),
        "biased on one slice": challengers.biased_on(
            model, signature, *category, towards=highest, strength=sound.find_bias(highest)
        ),
    }


def shift_at_gate(
    sound: bytes, model: bytes, signature: Signature, past: pd.DataFrame
) -> float | None:
    """How far a challenger's answers would have lain from the champion's at a gate; None: it has
    none."""
    rows = encode_frame(signature, past)
    theirs = Predictor(sound, signature).predict(*rows)
    try:
        mine = Predictor(model, signature).predict(*rows)
    except ModelError:
        return None
    both = np.isfinite(mine).all(axis=1)
    return prediction_shift(theirs[both], mine[both])


@dataclass(frozen=True)
class _Sound:
    """The sound model's answers to the live rows whose truth is known."""

    spec: PipelineSpec
    truth: NDArray[Any]
    output: NDArray[Any]
    inside: NDArray[np.bool_]
    """Which rows lie in the category."""

    def find_keep(self, centre: float) -> float:
        """How much may be left of a blunted model that is worse by `WORSE`; below 0 it is turned
        round."""

        def loss(strength: float) -> float:
            blunt = centre + (1 - 2 * strength) * (self.output - centre)
            return float(self._losses(blunt).mean())

        return 1 - 2 * _least(loss, (1 + WORSE) * loss(0.0))

    def find_bias(self, towards: float) -> float:
        """How strong the bias is with which the loss on the category grows by `WORSE_ON_SLICE`."""

        def loss(strength: float) -> float:
            biased = self.output + strength * (towards - self.output)
            return float(self._losses(biased)[self.inside].mean())

        return _least(loss, (1 + WORSE_ON_SLICE) * loss(0.0))

    def _losses(self, output: NDArray[Any]) -> NDArray[Any]:
        return row_losses(self.spec.task, self.spec.metric, self.truth, output)


def _answer(
    spec: PipelineSpec, model: bytes, signature: Signature, live: pd.DataFrame, category: Category
) -> _Sound:
    truth, known = encode_known(live[spec.target], signature)
    output = Predictor(model, signature).predict(*encode_frame(signature, live))
    column, value = category
    return _Sound(spec, truth, output[known], np.array(live[column] == value)[known])


def _least(loss: Callable[[float], float], wanted: float) -> float:
    """The least strength of a flaw, from 0 to 1, with which the loss is as great as wanted."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if loss(middle) > wanted else (middle, high)
    return high
