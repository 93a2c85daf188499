"""``pipeline.yaml`` as frozen pydantic models: all of it but the section ``rollout``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from perennial.spec.durations import Duration, Span, SpanField
from perennial.spec.names import (
    ALLOWED_METRICS,
    DEFAULT_METRIC,
    NAME_PATTERN,
    DetectorName,
    EstimatorName,
    MetricName,
    Task,
)
from perennial.spec.rollout import Rollout
from perennial.spec.section import Section
from perennial.spec.times import check_time_format, check_timezone


class Source(Section):
    """Where the labelled history lies: what was known before the first request."""

    uri: str = Field(
        min_length=1,
        description="A csv, csv.gz or parquet file, or a folder of parquet files: a path beside "
        "pipeline.yaml, or s3://bucket/key.",
    )
    made_by: str | None = Field(
        default=None,
        description="A Python script beside pipeline.yaml that writes the file when it is missing.",
    )
    separator: str | None = Field(
        default=None,
        min_length=1,
        max_length=1,
        description="What stands between the fields of a csv. Left out: found among comma, "
        "semicolon, tab and bar.",
    )
    decimal: Literal[".", ","] | None = Field(
        default=None, description="Decimal point or comma of a csv. Left out: found."
    )
    encoding: str | None = Field(
        default=None,
        description="Encoding of a csv, such as utf-8 or cp1252. Left out: found among UTF-8, "
        "UTF-16, cp1252 and latin-1.",
    )

    @field_validator("separator")
    @classmethod
    def _separates(cls, value: str | None) -> str | None:
        if value is not None and (value.isalnum() or value in '"\r\n.'):
            raise ValueError("write the one character between two fields, such as ';' or \"\\t\"")
        return value

    @field_validator("encoding")
    @classmethod
    def _is_an_encoding(cls, value: str | None) -> str | None:
        try:
            if value is not None:
                "".encode(value)
        except LookupError:
            raise ValueError(
                "there is no such encoding: utf-8, utf-16 and cp1252 are some"
            ) from None
        return value


class Labels(Section):
    """How the truth comes back."""

    delay: SpanField = Field(
        default=Span(rows=0), description="How late the truth arrives: 278 rows, 7d."
    )


class Model(Section):
    """What is trained."""

    estimators: tuple[EstimatorName, ...] = Field(
        default=("hist_gradient_boosting", "linear", "mlp"),
        min_length=1,
        description="Families that compete on the newest rows; the best one is packaged.",
    )
    time_budget: Duration = Field(
        default=timedelta(seconds=60),
        description="Wall time for all fits of one training; a family that would overrun is left "
        "out.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything random in training.")


class Monitor(Section):
    """When the stream is looked at, and in what pieces."""

    schedule: str | None = Field(
        default="0 * * * *", description="Cron, UTC. null: only when somebody asks."
    )
    window: SpanField = Field(
        default=Span(rows=1000), description="Rows (or time) that are judged together."
    )

    @model_validator(mode="after")
    def _window_is_not_empty(self) -> Monitor:
        if self.window.rows is not None and self.window.rows < 20:
            raise ValueError("window: write at least 20 rows, or a duration")
        if self.window.duration is not None and self.window.duration <= timedelta(0):
            raise ValueError("window: write at least 20 rows, or a duration above zero")
        return self


class Costs(Section):
    """CPU seconds of a heal of each depth."""

    recalibrate: float | None = Field(
        default=None, ge=0, description="Left out: as measured at the last one."
    )
    correct: float | None = Field(
        default=None, ge=0, description="Left out: as measured at the last one."
    )
    retrain: float | None = Field(
        default=None, ge=0, description="Left out: as measured at the last one."
    )


class Policy(Section):
    """When a shift is worth a heal."""

    detectors: tuple[DetectorName, ...] = Field(
        default=("moments",),
        min_length=1,
        description="What looks at a window's inputs. moments: each feature, its missing rate, the "
        "champion's output and all correlations, against what the reference's own windows predict; "
        "tabular: alibi-detect's univariate tests; classifier: whether a classifier can tell the "
        "window from the reference.",
    )
    p_value: float = Field(
        default=0.015, gt=0, lt=1, description="Level of the input tests, over all features."
    )
    effect_size: float = Field(
        default=0.02,
        ge=0,
        description="A shifted feature counts from this effect size on (PSI; 0.02 is a seventh of "
        "a standard deviation): what is significant but small is not acted on.",
    )
    loss_increase: float = Field(
        default=0.1,
        ge=0,
        description="The champion's loss counts as risen from this share above its promise on.",
    )
    loss_p_value: float = Field(
        default=0.02, gt=0, lt=1, description="Level of the test of the loss against its promise."
    )
    persistence: int = Field(
        default=2,
        ge=1,
        description="Windows in a row that must say so before a shift is confirmed; a rise of the "
        "loss that is clear in one window needs no second one.",
    )
    cooldown: int = Field(
        default=0,
        ge=0,
        description="Windows after a heal of any depth in which none is asked for again.",
    )
    retrain_gain: float = Field(
        default=0.06,
        ge=0,
        lt=1,
        description="Share of the base's loss that small heads on it must take away before a new "
        "model is worth a takeover; its CPU seconds come on top.",
    )
    retrain_wait: int = Field(
        default=7,
        ge=0,
        description="Windows after a retrain in which no other one is asked for; twice as many "
        "with every candidate in a row that was refused, sixteen times at most.",
    )
    takeover_price: float = Field(
        default=0.005,
        ge=0,
        lt=1,
        description="Share of the loss that a head must be expected to take away to be worth a "
        "takeover; its CPU seconds come on top.",
    )
    cpu_price: float = Field(
        default=0.0002,
        ge=0,
        lt=1,
        description="Share of a window's loss that one CPU second of a heal must earn. Those of a "
        "retrain are shared out over the windows until the next one.",
    )
    cpu_budget: Duration | None = Field(
        default=timedelta(minutes=10),
        gt=timedelta(0),
        description="CPU time a window that heals may take. A retrain waits until it is saved up; "
        "heads may take half of it. null: any.",
    )
    costs: Costs = Field(
        default=Costs(), description="CPU seconds of a heal; what is left out is measured."
    )


class Validation(Section):
    """What becomes of rows that break the pipeline's expectations."""

    quarantine_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of the rows of a window or snapshot that may go aside while the rest is "
        "used; beyond it all is held.",
    )


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
        description="Share of the labelled rows, the newest, that is kept from training "
        "for the gate; at most half a window.",
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


class Retention(Section):
    """How long versions are kept. What is live, pinned or younger than a day never goes."""

    champions: int = Field(
        default=20, ge=1, description="Of the versions that were champion, so many are kept."
    )
    others: Duration = Field(
        default=timedelta(days=30),
        description="How long a version is kept that is none of them; a refused candidate is kept "
        "for gates.keep_refused.",
    )


class PipelineSpec(Section):
    """One model and all that keeps it alive."""

    name: str = Field(
        pattern=NAME_PATTERN,
        description="Lower-case letters, digits, dashes and underscores; names the model in URLs "
        "and in the store.",
    )
    task: Task
    source: Source
    target: str = Field(min_length=1)
    time: str | None = Field(
        default=None, description="Time column. Left out: row order is time order."
    )
    time_format: str | None = Field(
        default=None,
        description="How the time column writes its times: iso, seconds, milliseconds (since 1970 "
        "UTC), or a pattern such as '%d.%m.%Y %H:%M'. Left out: found from all its rows.",
    )
    timezone: str = Field(
        default="UTC", description="Zone of times without an offset, such as Europe/Berlin."
    )
    ignore: tuple[str, ...] = Field(default=(), description="Columns that are never a feature.")
    metric: MetricName = Field(default="rmse", description="What the loop is judged by.")
    labels: Labels = Labels()
    model: Model = Model()
    monitor: Monitor = Monitor()
    policy: Policy = Policy()
    validation: Validation = Validation()
    gates: Gates = Gates()
    rollout: Rollout = Rollout()
    retention: Retention = Retention()

    @field_validator("time_format")
    @classmethod
    def _format_is_one(cls, value: str | None) -> str | None:
        return None if value is None else check_time_format(value)

    @field_validator("timezone")
    @classmethod
    def _zone_is_one(cls, value: str) -> str:
        return check_timezone(value)

    @model_validator(mode="before")
    @classmethod
    def _metric_follows_task(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("metric") is None and "task" in data:
            defaults: dict[Any, MetricName] = {**DEFAULT_METRIC}
            if data["task"] in defaults:
                return {**data, "metric": defaults[data["task"]]}
        return data

    @model_validator(mode="after")
    def _hangs_together(self) -> PipelineSpec:
        allowed = ALLOWED_METRICS[self.task]
        if self.metric not in allowed:
            raise ValueError(
                f"metric: {self.metric} does not fit task {self.task}; one of {', '.join(allowed)}"
            )
        for key in ("time", "ignore"):
            if self.target == getattr(self, key) or (
                key == "ignore" and self.target in self.ignore
            ):
                raise ValueError(f"{key}: {self.target!r} is the target")
        if self.time_format is not None and self.time is None:
            raise ValueError("time_format: there is no time column that it could be the format of")
        return self
