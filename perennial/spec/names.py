"""What may stand in ``pipeline.yaml`` as a choice of words, and which go together."""

from __future__ import annotations

from typing import Literal

Task = Literal["regression", "binary", "multiclass"]
MetricName = Literal["rmse", "mae", "auc", "log_loss", "accuracy", "balanced_accuracy"]
DetectorName = Literal["moments", "tabular", "classifier"]
EstimatorName = Literal["hist_gradient_boosting", "linear", "mlp"]
BaseName = Literal["first", "recent", "all"]
"""Members of a mixture that are trained on their own: the model that it began with, one refitted on
as many of the newest rows, one on all rows."""
HeadName = Literal["recalibrate", "renew", "correct"]
"""Members that are small, and fitted on the newest rows alone: a map of the first model's answers,
a model of those rows, and a model of what the first one gets wrong."""
MemberName = BaseName | HeadName
Depth = Literal["correct", "retrain"]
"""Of a heal: small models of the newest rows and new shares; a new model beside them."""
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
