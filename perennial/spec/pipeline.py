"""``pipeline.yaml`` as frozen pydantic models; its longer sections have modules of their own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import Field, field_validator, model_validator

from perennial.spec.cron import check_cron
from perennial.spec.durations import Duration, Span, SpanField
from perennial.spec.gates import Gates
from perennial.spec.names import (
    ALLOWED_METRICS,
    DEFAULT_METRIC,
    NAME_PATTERN,
    EstimatorName,
    MetricName,
    Task,
)
from perennial.spec.policy import Policy
from perennial.spec.rollout import Rollout
from perennial.spec.section import Section
from perennial.spec.source import Source
from perennial.spec.times import check_time_format, check_timezone


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
        description="Families that compete on newer rows than they learn from; the first stands "
        "unless another is clearly better.",
    )
    time_budget: Duration = Field(
        default=timedelta(seconds=60),
        description="Wall time for all fits of one training; a family that would overrun is left "
        "out.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything random in training.")


MIN_WINDOW_ROWS = 20
"""Fewer rows tell nothing that could be judged."""


class Monitor(Section):
    """When the stream is looked at, and in what pieces."""

    schedule: str | None = Field(
        default="0 * * * *", description="Cron, UTC. null: only when somebody asks."
    )
    window: SpanField = Field(
        default=Span(rows=1000), description="Rows (or time) that are judged together."
    )

    @field_validator("schedule")
    @classmethod
    def _schedule_is_one(cls, value: str | None) -> str | None:
        return None if value is None else check_cron(value)

    @model_validator(mode="after")
    def _window_is_not_empty(self) -> Monitor:
        if self.window.rows is not None and self.window.rows < MIN_WINDOW_ROWS:
            raise ValueError(f"window: write at least {MIN_WINDOW_ROWS} rows, or a duration")
        if self.window.duration is not None and self.window.duration <= timedelta(0):
            raise ValueError(
                f"window: write at least {MIN_WINDOW_ROWS} rows, or a duration above zero"
            )
        return self


class Validation(Section):
    """What becomes of rows that break the pipeline's expectations."""

    quarantine_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of the rows of a window or snapshot that may go aside while the rest is "
        "used; beyond it all is held.",
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
    task: Task = Field(description="What is predicted: a number, one of two classes, one of more.")
    source: Source
    target: str = Field(min_length=1, description="Column that is predicted.")
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
