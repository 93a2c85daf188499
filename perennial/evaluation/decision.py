"""What a gate decided, as one value: stored with the version, passed or not."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, computed_field

from perennial.evaluation.rivals import Scores

CheckName = Literal[
    "rows",
    "finite",
    "better_than_constant",
    "last_value",
    "not_worse_than_champion",
    "slices",
    "calibration",
    "leakage",
    "too_good",
    "signature",
    "size",
    "latency",
    "parity",
    "servability",
]

CheckVerdict = Literal["passed", "refused", "noted", "overridden"]
"""noted: measured, and not held against the candidate. overridden: it would have refused the
candidate, but pipeline.yaml allows what was found."""


TOO_GOOD: Final = "too_good"
"""Name of the check that tells of a model that hardly errs."""


class GateCheck(BaseModel):
    """One thing a candidate had to show."""

    model_config = ConfigDict(frozen=True)

    name: CheckName
    figure: float | None
    """What was measured; None where it could not be."""
    threshold: float | None = None
    """What it was held against; None: nothing was."""
    low: float | None = None
    """Lower end of the figure's interval at the check's (one-sided) confidence."""
    high: float | None = None
    verdict: CheckVerdict
    detail: str

    @property
    def passed(self) -> bool:
        """Whether the candidate may go on."""
        return self.verdict != "refused"


class SliceResult(BaseModel):
    """A part of the gate's rows, and how both models did on it."""

    model_config = ConfigDict(frozen=True)

    column: str
    value: str
    """A level, or a range of numbers."""
    declared: bool
    """Named in pipeline.yaml, not found by the search."""
    rows: int
    loss: float
    champion: float | None
    """The champion's loss on the same rows."""
    change: float | None = None
    """Difference as a share of the champion's loss, here or over all, whichever is larger."""
    low: float | None = None
    """Lower bound of the change, which holds for all slices at once."""
    refused: bool = False

    @property
    def label(self) -> str:
        """The slice in words."""
        return f"{self.column} = {self.value}"


class Leak(BaseModel):
    """Something that tells the target and will not be there, or must not be used, in service."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["copy", "too_well_alone", "known_later", "identifier", "duplicates"]
    column: str
    """The feature; for duplicates the words ``duplicate rows``."""
    figure: float
    """Share of the target that it explains, or of the rows that are duplicates."""
    detail: str
    others: tuple[str, ...] = ()
    """Features that make up the target together with it."""
    allowed: bool = False
    """pipeline.yaml allows it in ``gates.allow_leakage``."""


class GateDecision(BaseModel):
    """``gate.json``: whether a candidate may be registered, and why."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    rows: int
    reason: str
    checks: tuple[GateCheck, ...]
    slices: tuple[SliceResult, ...] = ()
    """The declared ones, and the worst that were found."""
    leaks: tuple[Leak, ...] = ()
    scores: Scores | None = None
    """Of the candidate and its rivals; None: they did not come to be compared."""
    seconds: float | None = None
    """Wall time that the gate took."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether the candidate may be registered."""
        return all(check.passed for check in self.checks)

    @property
    def untried(self) -> bool:
        """Whether too few rows are all that refused it: then nothing is known against it."""
        return {check.name for check in self.refusals} == {"rows"}

    @property
    def refusals(self) -> tuple[GateCheck, ...]:
        """The checks that refused it."""
        return tuple(check for check in self.checks if not check.passed)


def decide(
    checks: list[GateCheck],
    *,
    rows: int,
    slices: tuple[SliceResult, ...] = (),
    leaks: tuple[Leak, ...] = (),
    scores: Scores | None = None,
    seconds: float | None = None,
) -> GateDecision:
    """Make one decision of all checks; the reason is what refused, else what was compared, and
    whether that is too good to be true."""
    failed = [check.detail for check in checks if not check.passed]
    compared = [c for c in checks if c.name in ("not_worse_than_champion", "better_than_constant")]
    strange = [check.detail for check in checks if check.name == TOO_GOOD]
    return GateDecision(
        rows=rows,
        reason="; ".join(failed or [(compared or checks)[-1].detail, *strange]),
        checks=tuple(checks),
        slices=slices,
        leaks=leaks,
        scores=scores,
        seconds=seconds,
    )


def untried(reason: str) -> GateDecision:
    """The decision on a candidate that nothing can judge."""
    return decide([GateCheck(name="rows", figure=0, verdict="refused", detail=reason)], rows=0)
