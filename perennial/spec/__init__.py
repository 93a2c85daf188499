"""``pipeline.yaml`` as frozen pydantic models.

The same models are the flows' parameters, so Prefect's form shows their descriptions and choices.
Only ``name``, ``task``, ``source`` and ``target`` have to be there.
"""

from perennial.spec.detectors import unusable, usable
from perennial.spec.durations import Duration, Span, format_duration, parse_duration
from perennial.spec.gates import Gates
from perennial.spec.names import (
    NAME_PATTERN,
    BaseName,
    Depth,
    DetectorName,
    EstimatorName,
    Goal,
    HeadName,
    MemberName,
    MetricName,
    Task,
)
from perennial.spec.pipeline import (
    MIN_WINDOW_ROWS,
    Labels,
    Model,
    Monitor,
    PipelineSpec,
    Retention,
    Validation,
)
from perennial.spec.policy import Costs, Policy
from perennial.spec.reading import load_spec, parse_spec
from perennial.spec.rollout import Bake, Canary, Guardrails, Rollout, Shadow
from perennial.spec.source import Source
from perennial.spec.times import TimeFormat

__all__ = [
    "MIN_WINDOW_ROWS",
    "NAME_PATTERN",
    "Bake",
    "BaseName",
    "Canary",
    "Costs",
    "Depth",
    "DetectorName",
    "Duration",
    "EstimatorName",
    "Gates",
    "Goal",
    "Guardrails",
    "HeadName",
    "Labels",
    "MemberName",
    "MetricName",
    "Model",
    "Monitor",
    "PipelineSpec",
    "Policy",
    "Retention",
    "Rollout",
    "Shadow",
    "Source",
    "Span",
    "Task",
    "TimeFormat",
    "Validation",
    "format_duration",
    "load_spec",
    "parse_duration",
    "parse_spec",
    "unusable",
    "usable",
]
