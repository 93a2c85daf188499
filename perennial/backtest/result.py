"""What a backtest found."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, computed_field

from perennial.backtest.baselines import nothing_to_recover
from perennial.datasets.dates import Dates
from perennial.spec import MetricName


class WindowDecision(BaseModel):
    """What a policy made of a window (counted from 1)."""

    model_config = ConfigDict(frozen=True)

    window: int
    dates: Dates | None = None
    decision: str
    reason: str


class PolicyResult(BaseModel):
    """One policy on the stream."""

    model_config = ConfigDict(frozen=True)

    score: float
    """The metric pooled over all rows after the first fraction."""
    heals: dict[str, int]
    """By depth, those that took over."""
    retrains: int
    """Full retrains that took over."""
    fits: int
    """All fits, probes and refused candidates included."""
    cpu_seconds: float
    first_cpu_seconds: float
    """What of them version 1 took, which every policy makes."""
    recovered: float | None
    """(policy - never) / (every - never); None where every gains nothing, or one did not run."""
    loss: float
    """Mean row loss, which adds up over windows: `perennial.evaluation.metrics.row_losses`."""
    window_scores: tuple[float | None, ...]
    window_losses: tuple[float | None, ...]
    """Mean row loss in each window; None where no row has a label."""
    decisions: tuple[WindowDecision, ...]

    @property
    def healing_cpu_seconds(self) -> float:
        """CPU time of all fits behind version 1."""
        return self.cpu_seconds - self.first_cpu_seconds


class CostCurve(BaseModel):
    """Mean row loss plus ``alpha`` times the CPU seconds of all fits behind version 1; hindsight
    may choose how often to retrain."""

    model_config = ConfigDict(frozen=True)

    alpha: tuple[float, ...]
    perennial: tuple[float, ...]
    hindsight: tuple[float, ...]
    hindsight_retrains: tuple[int, ...]


class Backtest(BaseModel):
    """What each policy would have made of a stream."""

    model_config = ConfigDict(frozen=True)

    pipeline: str
    metric: MetricName
    greater_is_better: bool
    rows: int
    windows: int
    train_fraction: float
    label_delay_windows: int
    at_once: bool
    """Whether versions took over as soon as their gate had passed them; else by the stages that the
    pipeline declares."""
    seed: int
    earlier_rows: int = 0
    """By how many rows windows begin earlier than those that the stream's length gives; it ends as
    many rows earlier."""
    labelled: tuple[int, ...]
    """Rows of each window that have a label."""
    policies: dict[str, PolicyResult]
    gains: bool = False
    """Whether retraining at every window is clearly better than never; False where one did not
    run."""
    cost: CostCurve | None = None

    def cpu_share(self, policy: str) -> float | None:
        """Compare the CPU time of a policy's healing with that of `every`.

        Version 1 is made by all of them, and counts for neither side.

        Returns:
            None where `every` did not run, or never retrained.
        """
        every = self.policies.get("every")
        if every is None or every.healing_cpu_seconds <= 0:
            return None
        return self.policies[policy].healing_cpu_seconds / every.healing_cpu_seconds

    @computed_field  # type: ignore[prop-decorator]
    @property
    def caveat(self) -> str:
        """Say so where retraining at every window gains nothing; empty where it gains, or did not
        run."""
        if not {"never", "every"} <= self.policies.keys():
            return ""
        mine = self.policies.get("perennial")
        return nothing_to_recover(
            self.policies["never"].score,
            self.policies["every"].score,
            None if mine is None else mine.score,
            gains=self.gains,
        )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def about_hindsight(self) -> str:
        """Explain a hindsight that is worse than Perennial and than a retrain at every window;
        empty where it is not."""
        if not {"perennial", "every", "hindsight"} <= self.policies.keys():
            return ""
        mine, every, best = (self.policies[n] for n in ("perennial", "every", "hindsight"))
        sign = 1 if self.greater_is_better else -1
        if sign * best.score >= min(sign * mine.score, sign * every.score):
            return ""
        return (
            f"hindsight may retrain only as often as Perennial did ({mine.retrains} times, "
            f"{every.retrains} at every window) and has no small models: its moments are the best "
            "for that, and a policy that does more can do better"
        )
