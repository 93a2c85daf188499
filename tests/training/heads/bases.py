"""Bases that are out of date, and rows to mend them on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perennial.evaluation.targets import encode_labels
from perennial.packaging.export import export
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.packaging.signature import Signature
from perennial.training.columns import encode_target, infer_features
from perennial.training.estimator import Columns, TrainingSet, both, load_estimator
from tests.training.frames import make_frame, make_spec


@dataclass(frozen=True)
class Base:
    """A packaged model, rows newer than it, and its answers to them."""

    model: bytes
    signature: Signature
    data: TrainingSet
    output: NDArray[Any]
    numeric: Columns
    categorical: Columns

    def answers(self, numeric: Columns, categorical: Columns) -> NDArray[Any]:
        """Answer by the packaged graph."""
        return Predictor(self.model, self.signature).predict(numeric, categorical)


@cache
def make_base(
    task: str,
    columns: str = "mixed",
    *,
    estimator: Any = "hist_gradient_boosting",
    rows: int = 400,
    turned: bool = True,
) -> Base:
    """Train on older rows; ``turned``: in the newer ones the target has moved."""
    older, newer = make_frame(task, columns, rows=400), make_frame(task, columns, rows, seed=1)
    if turned:
        newer = newer.assign(y=_turn(task, newer["y"]))
    spec = make_spec(task)
    y, classes = encode_target(older["y"], spec.task)
    features = infer_features(older, spec)
    signature = Signature(task=spec.task, target="y", features=features, classes=classes)

    def encode(frame: Any, y: NDArray[Any]) -> TrainingSet:
        inputs = both(*encode_frame(signature, frame))
        return TrainingSet(spec.task, spec.metric, signature.width, *inputs, y)

    fitted = load_estimator(estimator).fit(encode(older, y), seed=0, rounds=20)
    model = export(fitted, signature)
    truth = newer["y"].to_numpy() if task == "regression" else encode_labels(newer["y"], classes)
    inputs = encode_frame(signature, newer)
    output = Predictor(model, signature).predict(*inputs)
    return Base(model, signature, encode(newer, truth), output, *inputs)


def _turn(task: str, y: Any) -> Any:
    if task == "regression":
        return 1.5 * y - 300
    if task == "binary":
        return np.where(np.random.default_rng(3).random(len(y)) < 0.3, 1, y)
    return np.where(np.random.default_rng(3).random(len(y)) < 0.3, "low", y)
