"""What may stand in ``pipeline.yaml`` as a choice of words, and which go together."""

from __future__ import annotations

from typing import Literal

Task = Literal["regression", "binary", "multiclass"]
MetricName = Literal["rmse", "mae", "auc", "log_loss", "accuracy", "balanced_accuracy"]
DetectorName = Literal["moments", "tabular", "classifier"]
EstimatorName = Literal["hist_gradient_boosting", "linear", "mlp"]
HeadDepth = Literal["recalibrate", "correct"]
HeadName = Literal["recalibrate", "renew", "correct"]
"""What a head may consist of: a map of the base's output, a small model of the newest rows alone,
and a small residual model. With either model in it, its depth is ``correct``."""
Depth = Literal["recalibrate", "correct", "retrain"]
"""Of a heal: a map of the champion's output, a small residual model, a new model."""
Cure = Literal["recalibrate", "correct", "retrain", "unhead"]
"""A heal of some depth, or: take a head off that no longer helps."""
Goal = Literal["shadow", "canary", "promotion"]
"""Where a person may take a challenger at once."""

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
