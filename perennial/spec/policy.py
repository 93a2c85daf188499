"""The section ``policy``: when a shift is worth a heal, and what one costs."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from perennial.spec.durations import Duration
from perennial.spec.names import DetectorName
from perennial.spec.section import Section


def _share(value: object) -> object:
    """Take a share written in percent."""
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip().removesuffix("%")) / 100
    return value


class Costs(Section):
    """CPU seconds of a heal of each depth."""

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
        "tabular: alibi-detect's univariate tests (Python 3.11 and 3.12 alone); classifier: "
        "whether a classifier can tell the window from the reference.",
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
        description="Share of the loss that must be at stake for a retrain out of turn: where a "
        "loss has risen and nothing is known of what small models would do, or inputs have moved "
        "and labels are late; its CPU seconds come on top.",
    )
    retrain_wait: int = Field(
        default=4,
        ge=0,
        description="Windows after a retrain in which no other one is asked for. Then a new model "
        "is due; twice as late where such models have earned nothing.",
    )
    takeover_price: float = Field(
        default=0.005,
        ge=0,
        lt=1,
        description="Share of the loss that newer small models and shares must be expected to "
        "take away to be worth a takeover; its CPU seconds come on top.",
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
        "corrections may take half of it. null: any.",
    )
    harm: Annotated[float, BeforeValidator(_share)] | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share, such as 1%, by which the loss may lie above that of the pipeline's "
        "first model over any 20 windows: other models get no more of the answer than their past "
        "allows, which costs gain where labels are late. Left out: no bound is kept.",
    )
    costs: Costs = Field(
        default=Costs(), description="CPU seconds of a heal; what is left out is measured."
    )
