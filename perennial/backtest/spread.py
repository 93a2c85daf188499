"""Backtests that differ in what is luck, taken together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, computed_field

from perennial.backtest.result import Backtest


class Spread(BaseModel):
    """A figure over several runs."""

    model_config = ConfigDict(frozen=True)

    mean: float
    least: float
    most: float
    runs: int
    """How many had the figure."""

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Spread | None:
        """Take the runs together that have the figure; None: no run has."""
        known = [value for value in values if value is not None]
        if not known:
            return None
        mean = sum(known) / len(known)
        return cls(mean=mean, least=min(known), most=max(known), runs=len(known))


class PolicySpread(BaseModel):
    """One policy over several runs."""

    model_config = ConfigDict(frozen=True)

    score: Spread
    recovered: Spread | None
    """Of the runs in which retraining at every window gains something; None: in no run."""
    cpu_share: Spread | None
    """CPU time behind version 1 as a share of that of `every`; None where `every` did not run."""
    corrections: Spread
    """Heads that took over."""
    retrains: Spread


class Repeated(BaseModel):
    """A backtest repeated with other seeds and beginnings."""

    model_config = ConfigDict(frozen=True)

    runs: tuple[Backtest, ...]
    refused: tuple[str, ...] = ()
    """Runs that could not begin, since the gate refused version 1: which, and why."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def policies(self) -> dict[str, PolicySpread]:
        """Each policy over all runs."""
        return {name: self._spread(name) for name in self.runs[0].policies}

    def _spread(self, name: str) -> PolicySpread:
        mine = [run.policies[name] for run in self.runs]
        corrections = [one.heals["correct"] for one in mine]
        spreads: dict[str, Any] = {
            "score": Spread.of(one.score for one in mine),
            "recovered": Spread.of(one.recovered for one in mine),
            "cpu_share": Spread.of(run.cpu_share(name) for run in self.runs),
            "corrections": Spread.of(corrections),
            "retrains": Spread.of(one.retrains for one in mine),
        }
        return PolicySpread.model_validate(spreads)
