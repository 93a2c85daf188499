"""The section ``rollout``: stages, the test of the loss, guardrails."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from perennial.spec.durations import Duration
from perennial.spec.section import Section


class Shadow(Section):
    """The challenger sees copies of the requests; the champion answers."""

    rows: int = Field(default=500, ge=1, description="Rows that the challenger has to see.")
    time: Duration = Field(
        default=timedelta(hours=1), description="After this time the stage ends with fewer rows."
    )


class Canary(Section):
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


class Bake(Section):
    """The challenger is champion; the old one stays warm, one step away."""

    rows: int = Field(default=1000, ge=1, description="Rows that it has to answer.")
    time: Duration = Field(
        default=timedelta(days=1), description="After this time the bake ends with fewer rows."
    )


class Guardrails(Section):
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


class Rollout(Section):
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
