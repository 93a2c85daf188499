"""The section ``gates``: what a candidate must show."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from perennial.spec.durations import Duration
from perennial.spec.section import Section


class Gates(Section):
    """What a candidate must show before it may stand against the champion on live traffic."""

    margin: float = Field(
        default=0.0,
        ge=0,
        description="Non-inferiority margin, as a share of the champion's loss.",
    )
    confidence: float = Field(
        default=0.8,
        ge=0.5,
        lt=1,
        description="Confidence at which the candidate must not be worse beyond the margin.",
    )
    holdout: float = Field(
        default=0.05,
        gt=0,
        lt=0.9,
        description="Share of the labelled rows, the newest, that is kept from a first version's "
        "trial for the gate; at most half a window.",
    )
    slices: tuple[str, ...] = Field(
        default=(),
        description="Columns each of whose values is judged by itself and stands in the model's "
        "page; every feature is searched for the worst slice anyway.",
    )
    slice_margin: float = Field(
        default=0.2,
        ge=0,
        description="What any slice may lose, as a share of the champion's loss; a candidate that "
        "is clearly worse somewhere is refused, however good it is on average.",
    )
    calibration: float | None = Field(
        default=0.25,
        gt=0,
        le=1,
        description="Calibration error beyond chance that a first version's probabilities may "
        "have, with what the world moves between training and gate. null: calibration is not "
        "looked at.",
    )
    calibration_margin: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="By how much more than the champion's a candidate's calibration error may be.",
    )
    last_value: Literal["note", "refuse"] = Field(
        default="note",
        description="What becomes of a candidate that is clearly worse than repeating the last "
        "truth that was known. refuse: where labels really come back row by row.",
    )
    latency_ms: float | None = Field(
        default=50.0,
        gt=0,
        description="Milliseconds that the packaged model may take for one row. null: any.",
    )
    size_mb: float | None = Field(
        default=200.0, gt=0, description="Megabytes that the packaged model may have. null: any."
    )
    signature: Literal["compatible", "any"] = Field(
        default="compatible",
        description="compatible: a candidate must take every request that the champion takes. "
        "any: fields may go or change, which clients must know of.",
    )
    allow_leakage: tuple[str, ...] = Field(
        default=(),
        description="Features that may tell the target as well as they do, or 'duplicate rows'; "
        "it is recorded with every decision.",
    )
    keep_refused: Duration = Field(
        default=timedelta(days=30),
        description="How long a refused candidate is kept, with its reasons.",
    )
