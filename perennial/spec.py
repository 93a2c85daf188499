"""``pipeline.yaml`` as frozen pydantic models.

The same models are the flows' parameters, so Prefect's form shows their descriptions and choices.
Only ``name``, ``task``, ``source`` and ``target`` have to be there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from perennial.errors import SpecError

Task = Literal["regression", "binary", "multiclass"]
MetricName = Literal["rmse", "mae", "auc", "log_loss", "accuracy", "balanced_accuracy"]
DetectorName = Literal["moments", "tabular", "classifier"]
EstimatorName = Literal["hist_gradient_boosting", "linear", "mlp"]
HeadDepth = Literal["recalibrate", "correct"]
Depth = Literal["recalibrate", "correct", "retrain"]
"""Of a heal: a map of the champion's output, a small residual model, a new model."""
Cure = Literal["recalibrate", "correct", "retrain", "unhead"]
"""A heal of some depth, or: take a head off that no longer helps."""

NAME_PATTERN = r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"
"""Of a pipeline's name."""

DEFAULT_METRIC: dict[Task, MetricName] = {
    "regression": "rmse",
    "binary": "auc",
    "multiclass": "accuracy",
}
ALLOWED_METRICS: dict[Task, tuple[MetricName, ...]] = {
    "regression": ("rmse", "mae"),
    "binary": ("auc", "log_loss", "accuracy", "balanced_accuracy"),
    "multiclass": ("log_loss", "accuracy", "balanced_accuracy"),
}

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: object) -> timedelta:
    """Read ``"90s"``, ``"5m"``, ``"2h"``, ``"1d"`` or a number of seconds.

    Raises:
        ValueError: it is none of these, or negative.
    """
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return timedelta(seconds=value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", str(value).strip())
    if match is None:
        raise ValueError("write a duration such as 90s, 5m, 2h or 1d")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    """Write a duration in the largest unit that divides it."""
    seconds = value.total_seconds()
    for unit in "dhm":
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{int(seconds // _UNITS[unit])}{unit}"
    return f"{int(seconds)}s" if seconds.is_integer() else f"{seconds:f}s"


class Span(BaseModel):
    """A length of the stream: a number of rows, or a duration of its time column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int | None = None
    duration: timedelta | None = None

    def __str__(self) -> str:
        return f"{self.rows} rows" if self.duration is None else format_duration(self.duration)


def parse_span(value: object) -> object:
    """Read ``"278 rows"``, ``278`` (rows) or a duration into a `Span`."""
    if isinstance(value, Span | Mapping):
        return value
    if isinstance(value, bool):
        raise ValueError("write a number of rows (278 rows) or a duration (7d)")
    if isinstance(value, int):
        if value < 0:
            raise ValueError("a span cannot be negative")
        return Span(rows=value)
    match = re.fullmatch(r"(\d[\d_]*)\s*rows?", str(value).strip())
    if match is not None:
        return Span(rows=int(match[1]))
    try:
        return Span(duration=parse_duration(value))
    except ValueError as error:
        raise ValueError("write a number of rows (278 rows) or a duration (7d)") from error


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
SpanField = Annotated[
    Span,
    BeforeValidator(parse_span),
    PlainSerializer(str, return_type=str, when_used="json"),
]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Section):
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


class Labels(_Section):
    """How the truth comes back."""

    delay: SpanField = Field(
        default=Span(rows=0), description="How late the truth arrives: 278 rows, 7d."
    )


class Model(_Section):
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


class Monitor(_Section):
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


class Policy(_Section):
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
        default=0.01, gt=0, lt=1, description="Level of the input tests, over all features."
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
        default=0.04,
        ge=0,
        lt=1,
        description="Share of the base's loss that small heads on it must take away before a new "
        "model is worth its training.",
    )
    retrain_wait: int = Field(
        default=7,
        ge=0,
        description="Windows after a retrain in which no other one is asked for; longer with every "
        "candidate in a row that was refused.",
    )
    takeover_price: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of the loss that a head must be expected to take away to be worth a "
        "takeover.",
    )

    def quiet_windows(self, refused: int) -> int:
        """Windows after a retrain in which no other is asked for: half of them after the first
        refusal in a row, doubled with every one that follows."""
        if refused == 0:
            return self.retrain_wait
        doubled: int = 2**refused
        return max(1, self.retrain_wait // 2) * doubled


class Validation(_Section):
    """What becomes of rows that break the pipeline's expectations."""

    quarantine_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of the rows of a window or snapshot that may go aside while the rest is "
        "used; beyond it all is held.",
    )


class Gates(_Section):
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


class Shadow(_Section):
    """The challenger sees copies of the requests; the champion answers."""

    rows: int = Field(default=500, ge=1, description="Rows that the challenger has to see.")
    time: Duration = Field(
        default=timedelta(hours=1), description="After this time the stage ends with fewer rows."
    )


class Canary(_Section):
    """The challenger answers a growing share of the requests."""

    weights: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        default=(0.1, 0.5),
        min_length=1,
        description="Shares of the requests, growing; routing keys stay with who answered them.",
    )
    rows: int = Field(
        default=200, ge=1, description="Rows that the challenger has to answer at each share."
    )
    time: Duration = Field(
        default=timedelta(hours=2),
        description="After this time at one share it ends with fewer rows; the last share waits "
        "this long for the test of the loss.",
    )

    @model_validator(mode="after")
    def _weights_grow(self) -> Canary:
        if any(b <= a for a, b in pairwise(self.weights)):
            raise ValueError("weights: each share must be larger than the one before it")
        return self


class Bake(_Section):
    """The challenger is champion; the old one stays warm, one step away."""

    rows: int = Field(default=1000, ge=1, description="Rows that it has to answer.")
    time: Duration = Field(
        default=timedelta(days=1), description="After this time the bake ends with fewer rows."
    )


class Guardrails(_Section):
    """What undoes a rollout whatever the loss says."""

    errors: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of rows without an answer (an error, NaN) beyond the champion's.",
    )
    latency: float | None = Field(
        default=2.0,
        ge=1,
        description="How many times the champion's median and 95th percentile the challenger's "
        "may be, beyond 10 ms. null: not looked at.",
    )
    shift: float | None = Field(
        default=3.0,
        ge=1,
        description="How many times as far from the champion's answers as at the gate the "
        "challenger's may be, where there are no labels to say who is right. null: not looked at.",
    )
    sample_ratio: float | None = Field(
        default=0.001,
        gt=0,
        lt=1,
        description="Level of the test that the challenger gets its share of the routing keys. "
        "null: not looked at.",
    )


class Rollout(_Section):
    """How a version that passed its gate takes over. A stage that is null is left out."""

    shadow: Shadow | None = Shadow()
    canary: Canary | None = Canary()
    bake: Bake | None = Bake()
    margin: float = Field(
        default=0.05,
        ge=0,
        description="Non-inferiority margin on live rows, as a share of the champion's loss.",
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="Chance of promoting a challenger that is worse by the margin or more, however "
        "often one looks; also of rolling back one that is not.",
    )
    labels: int = Field(
        default=100,
        ge=1,
        description="Labelled rows that a stage waits for, once any labels have come.",
    )
    slices: tuple[str, ...] = Field(
        default=(), description="Columns each of whose values is held to the margin too."
    )
    guardrails: Guardrails = Guardrails()
    inconclusive: Literal["promote", "roll_back"] = Field(
        default="roll_back",
        description="What to do where the time is over and the test has not decided, as it cannot "
        "without labels.",
    )
    approval: Literal["automatic", "manual"] = Field(
        default="automatic", description="manual: a person must say yes before promotion."
    )
    newer: Literal["wait", "supersede"] = Field(
        default="wait",
        description="What a version does that is registered while another one is on its way.",
    )


class Retention(_Section):
    """How long versions are kept. What is live, pinned or younger than a day never goes."""

    champions: int = Field(
        default=20, ge=1, description="Of the versions that were champion, so many are kept."
    )
    others: Duration = Field(
        default=timedelta(days=30),
        description="How long a version is kept that is none of them; a refused candidate is kept "
        "for gates.keep_refused.",
    )


class PipelineSpec(_Section):
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
        return self


def load_spec(path: Path) -> PipelineSpec:
    """Read and check a ``pipeline.yaml`` (or the folder that holds one).

    Raises:
        SpecError: not there, no YAML, or a key that may not stand as it does; one line a fault,
            each with the key's path, what stood there and what may stand there.
    """
    file = path / "pipeline.yaml" if path.is_dir() else path
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(f"{file}: there is no such file; 'perennial init' writes one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{file}: is no YAML: {_one_line(str(error))}") from None
    return parse_spec(data, origin=str(file))


def parse_spec(data: object, *, origin: str) -> PipelineSpec:
    """Check a declaration that is already a mapping; ``origin`` names it in errors.

    Raises:
        SpecError: as in `load_spec`.
    """
    if not isinstance(data, Mapping):
        raise SpecError(f"{origin}: a mapping of keys is expected, not {type(data).__name__}")
    try:
        return PipelineSpec.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(_explain(fault) for fault in error.errors())
        raise SpecError(f"{origin}: {faults}") from None


def _explain(fault: Any) -> str:
    """Say one pydantic fault as: path: what stood there, what may stand there."""
    loc = tuple(part for part in fault["loc"] if part not in ("Span", "function-before"))
    path = ".".join(str(part) for part in loc)
    kind, found = fault["type"], fault.get("input")
    if kind == "missing":
        return f"{path}: is missing"
    if kind == "extra_forbidden":
        return f"{path}: unknown key{_suggestion(loc)}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if not path:
        return message
    if isinstance(found, Mapping) and kind == "value_error":
        return f"{path}.{message}"
    return f"{path}: {found!r} stood there; {message}"


def _suggestion(loc: tuple[Any, ...]) -> str:
    model: type[BaseModel] = PipelineSpec
    for part in loc[:-1]:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field is not None else None
        sections = [
            choice
            for choice in (get_args(annotation) or (annotation,))
            if isinstance(choice, type) and issubclass(choice, BaseModel)
        ]
        if not sections:
            return ""
        model = sections[0]
    names = list(model.model_fields)
    close = difflib.get_close_matches(str(loc[-1]), names, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(names)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
