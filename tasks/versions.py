"""Registered versions, as the steps need them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from perennial.drift.loss import Promise
from perennial.evaluation.mixing import HeadTrial
from perennial.packaging.predictor import Predictor, encode_frame
from perennial.registry import (
    Manifest,
    read_file,
    read_manifest,
    read_signature,
    read_state,
)
from perennial.registry.manifest import MODEL_FILE
from tasks.connection import store


class Metrics(BaseModel):
    """``metrics.json`` of a version: what it showed on rows that it had not seen."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    metric: str
    score: float | None
    low: float | None = None
    """Lower end of the score's 90% interval; None where it is undefined, or was not recorded."""
    high: float | None = None
    rows: int
    """Rows of the gate, behind those trained on."""
    first: datetime | None = None
    """Time of the first of them, where the pipeline has a time."""
    last: datetime | None = None
    against: str | None = None
    """The champion that was held against it on the same rows; None: there was none."""
    change: float | None = None
    """Its loss less the champion's on the same rows, as a share of the champion's."""
    change_low: float | None = None
    """One-sided bounds of that at the gate's confidence."""
    change_high: float | None = None
    trained_rows: int
    usual_rows: int
    """Rows that the pipeline's first version was trained on: the span where nothing speaks for
    another."""
    promise: Promise
    trials: tuple[HeadTrial, ...] = ()
    """By which a retrained version's heads earned their shares."""
    shift: float | None = None
    """How far its answers lay from the champion's on the gate's rows; None: there was none."""


def find_champion(pipeline: str) -> Manifest | None:
    """Read the manifest of the version that answers, if there is one."""
    champion = read_state(store(), pipeline).state.champion
    return None if champion is None else read_manifest(store(), pipeline, champion)


def metrics_of(manifest: Manifest) -> Metrics:
    """What a version showed at its gate."""
    return Metrics.model_validate(manifest.metrics)


def load_version(manifest: Manifest) -> Predictor:
    """Load a version's graph, held against its manifest.

    Raises:
        ModelError: a file was altered, or the graph cannot be loaded.
    """
    model = read_file(store(), manifest, MODEL_FILE)
    return Predictor(model, read_signature(store(), manifest))


def answer(predictor: Predictor, frame: pd.DataFrame) -> NDArray[Any]:
    """Answer the rows of a frame; float32 (rows, width)."""
    return predictor.predict(*encode_frame(predictor.signature, frame))
