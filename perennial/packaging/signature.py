"""What a model takes and gives.

A packaged graph has at most two inputs and one output:

=============  ========  =======================  ==========================================
``numeric``    float32   (rows, numeric features)      NaN is a missing value
``categorical`` string   (rows, categorical features)  the empty string is a missing value
``output``     float32   (rows, width)                 width 1 for regression (the value) and
                                                       binary (probability of the second class),
                                                       one probability a class for multiclass
=============  ========  =======================  ==========================================

An input without features is left out of the graph.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from perennial.spec import Task, TimeFormat

NUMERIC = "numeric"
CATEGORICAL = "categorical"
OUTPUT = "output"

LARGEST_FLOAT32 = 3.4028235677973362e38
"""The largest float64 that a float32 can be rounded from."""

FeatureKind = Literal["numeric", "categorical"]


class Feature(BaseModel):
    """One column that the model looks at."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: FeatureKind


class TimeField(BaseModel):
    """The field of a request that says when its row happened."""

    model_config = ConfigDict(frozen=True)

    name: str
    format: TimeFormat


class Signature(BaseModel):
    """``signature.json`` of a version."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    task: Task
    target: str
    features: tuple[Feature, ...]
    context: tuple[str, ...] = ()
    """Fields that a request may carry and the model does not look at: the time, ignored columns."""
    time: TimeField | None = None
    """None: the pipeline has no time column."""
    classes: tuple[str, ...] = ()
    """Class labels in the order of the output's columns, as `canonical_label` writes them."""

    @property
    def numeric(self) -> tuple[str, ...]:
        """Names of the columns of the ``numeric`` input, in order."""
        return tuple(f.name for f in self.features if f.kind == "numeric")

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of the columns of the ``categorical`` input, in order."""
        return tuple(f.name for f in self.features if f.kind == "categorical")

    @property
    def width(self) -> int:
        """Columns of the output."""
        return len(self.classes) if self.task == "multiclass" else 1


def canonical_label(value: object) -> str:
    """Write a class label in the one form by which it is compared.

    1, 1.0 and "1" are the same class; True is "true".
    """
    if type(value).__name__ in ("bool", "bool_"):  # numpy's is one or the other by its release
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
