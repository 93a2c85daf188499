"""Policies side by side on one stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, computed_field

from perennial.backtest.baselines import (
    BaselinePolicy,
    BaselineRun,
    Refit,
    assemble,
    every_gains,
    held_stream,
    nothing_to_recover,
    processes,
    recovered,
    refit_starts,
    submit_refits,
)
from perennial.backtest.hindsight import Hindsight, look_back, window_losses
from perennial.backtest.policies import POLICIES, PolicyName
from perennial.backtest.replay import AT_ONCE, ReplayedRun, declared_as_cut, replay
from perennial.backtest.stream import Cut, Recorded, cut
from perennial.datasets.dates import Dates
from perennial.evaluation.metrics import GREATER_IS_BETTER, row_losses
from perennial.registry import Declaration
from perennial.spec import Depth, MetricName, PipelineSpec
from perennial.training.columns import encode_target

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""


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
    recovered: float | None
    """(policy - never) / (every - never); None where every gains nothing, or one did not run."""
    loss: float
    """Mean row loss, which adds up over windows: `perennial.evaluation.metrics.row_losses`."""
    window_scores: tuple[float | None, ...]
    decisions: tuple[WindowDecision, ...]


class CostCurve(BaseModel):
    """Mean row loss plus ``alpha`` times CPU seconds; hindsight may choose how often to retrain."""

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
    policies: dict[str, PolicyResult]
    gains: bool = False
    """Whether retraining at every window is clearly better than never; False where one did not
    run."""
    cost: CostCurve | None = None

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
            f"{every.retrains} at every window) and has no heads: its moments are the best for "
            "that, and a policy that does more can do better"
        )


def _loss(recorded: Recorded, outputs: Any) -> float:
    """Mean row loss of answers to all rows after the first fraction."""
    first, spec = recorded.where.first, recorded.spec
    rows = recorded.labelled(first, len(recorded.frame))
    losses = row_losses(spec.task, spec.metric, recorded.y[rows], outputs[rows - first])
    return float(losses.mean()) if len(losses) else math.nan


def backtest(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    *,
    policies: Sequence[PolicyName] = POLICIES,
    windows: int = 50,
    train_fraction: float = 0.2,
    label_delay_windows: int = 0,
    at_once: bool = False,
    folder: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Replay policies over a stream, on all cores.

    Args:
        frame: the whole stream in time order, with its target.
        policies: which; hindsight retrains as often as perennial (as periodic-5 without it).
        windows: into how many equal windows the rows after the first fraction are cut.
        label_delay_windows: windows by which labels come later than their window's end.
        at_once: versions take over as soon as they are registered, whatever stages are declared.
        folder: where the pipeline.yaml lies, and a person's expectations beside it; None: nowhere.
        jobs: processes; None for all cores. Nothing but the wall time depends on it.

    Raises:
        SourceError: too few rows for that many windows, or no label to begin with.
        TrainingError: there is no feature to learn from, or the target is not what the task wants.
    """
    encode_target(frame[spec.target].dropna(), spec.task)  # says so before any worker starts
    where = cut(
        len(frame),
        windows=windows,
        train_fraction=train_fraction,
        label_delay_windows=label_delay_windows,
    )
    if "perennial" in policies:
        declared_as_cut(spec, where)  # says so before any worker starts
    if at_once:
        spec = spec.model_copy(update={"rollout": AT_ONCE})
    recorded = Recorded(frame, spec, where)
    starts = _starts_needed(policies, windows)
    run, refits = _run_all(recorded, "perennial" in policies, folder, starts, jobs, progress)
    results: dict[str, PolicyResult] = {}
    outputs: dict[str, NDArray[Any]] = {}
    if run is not None:
        results["perennial"] = _of_replay(run, recorded)
    for name in policies:
        if name in get_args(BaselinePolicy):
            chosen = refit_starts(name, windows)  # type: ignore[arg-type]
            baseline = assemble(name, frame, spec, where, chosen, refits)
            outputs[name] = baseline.outputs
            results[name] = _of_baseline(baseline, recorded, f"{name} says so")
    cost = None
    if "hindsight" in policies:
        known = len(recorded.labelled(where.first, len(frame)))
        back = look_back(window_losses(recorded, refits), known, windows - 1)
        count = results["perennial"].retrains if run is not None else windows // 5
        chosen = back.starts[count]
        best = assemble("hindsight", frame, spec, where, chosen, refits)
        results["hindsight"] = _of_baseline(best, recorded, "the best moment, seen afterwards")
        if run is not None:
            cost = _cost_curve(results["perennial"], back, refits)
    both = {"never", "every"} <= outputs.keys()
    gains = both and every_gains(frame, spec, outputs["never"], outputs["every"])
    return Backtest(
        pipeline=spec.name,
        metric=spec.metric,
        greater_is_better=GREATER_IS_BETTER[spec.metric],
        rows=len(frame),
        windows=windows,
        train_fraction=train_fraction,
        label_delay_windows=label_delay_windows,
        at_once=spec.rollout == AT_ONCE,
        seed=spec.model.seed,
        policies={name: _with_recovered(results, name, gains) for name in policies},
        gains=gains,
        cost=cost,
    )


def _starts_needed(policies: Sequence[PolicyName], windows: int) -> tuple[int, ...]:
    if "hindsight" in policies:
        return tuple(range(windows))
    names = [name for name in policies if name in get_args(BaselinePolicy)]
    needed = {start for name in names for start in refit_starts(name, windows)}  # type: ignore[arg-type]
    return tuple(sorted(needed))


def _run_all(
    recorded: Recorded,
    perennial: bool,
    folder: Path | None,
    starts: tuple[int, ...],
    jobs: int | None,
    progress: Progress | None,
) -> tuple[ReplayedRun | None, dict[int, Refit]]:
    refits: dict[int, Refit] = {}
    with processes(recorded.frame, recorded.spec, jobs) as pool:
        mine: Future[ReplayedRun] | None = None
        if perennial:
            mine = pool.submit(_replay, recorded.where, folder)
        open_work: set[Future[Any]] = {*submit_refits(pool, recorded.where, starts)}
        total = len(open_work) + perennial
        if mine is not None:
            open_work.add(mine)
        while open_work:
            done, open_work = wait(open_work, return_when=FIRST_COMPLETED)
            for future in done - {mine}:
                refit = future.result()
                refits[refit.start] = refit
            if progress is not None:
                progress(total - len(open_work), total)
    return None if mine is None else mine.result(), refits


def _replay(where: Cut, folder: Path | None) -> ReplayedRun:
    frame, spec = held_stream()
    home = None if folder is None else str(folder.resolve())
    return replay(Recorded(frame, spec, where), Declaration(spec=spec, folder=home))


def _of_replay(run: ReplayedRun, recorded: Recorded) -> PolicyResult:
    refused = run.refused
    decisions = [
        WindowDecision(
            window=number + 1,
            dates=check.dates,
            decision=check.decision.name,
            reason=check.decision.reason
            + (f"; refused: {refused[check.window]}" if check.window in refused else ""),
        )
        for number, check in enumerate(run.checks)
    ]
    return PolicyResult(
        score=run.score,
        heals={depth: run.heals(depth) for depth in get_args(Depth)},
        retrains=run.heals("retrain"),
        fits=run.fits,
        cpu_seconds=run.cpu_seconds,
        recovered=None,
        loss=_loss(recorded, run.outputs),
        window_scores=_finite(run.window_scores),
        decisions=tuple(decisions),
    )


def _of_baseline(run: BaselineRun, recorded: Recorded, reason: str) -> PolicyResult:
    retrained = set(run.starts)
    decisions = [
        WindowDecision(window=w, decision="retrain", reason=reason)
        if w in retrained
        else WindowDecision(window=w, decision="keep", reason="")
        for w in range(1, recorded.where.windows + 1)
    ]
    retrains = len(run.starts) - 1
    return PolicyResult(
        score=run.score,
        heals={"correct": 0, "retrain": retrains},
        retrains=retrains,
        fits=run.fits,
        cpu_seconds=run.cpu_seconds,
        recovered=None,
        loss=_loss(recorded, run.outputs),
        window_scores=_finite(run.window_scores),
        decisions=tuple(decisions),
    )


def _with_recovered(results: dict[str, PolicyResult], name: str, gains: bool) -> PolicyResult:
    mine = results[name]
    if not {"never", "every"} <= results.keys():
        return mine
    share = recovered(
        mine.score,
        results["never"].score,
        results["every"].score,
        gains=gains,
    )
    return mine.model_copy(update={"recovered": share})


def _cost_curve(mine: PolicyResult, back: Hindsight, refits: dict[int, Refit]) -> CostCurve:
    """Sweep alpha from where compute hardly counts to where it is all that counts.

    The scale is the price at which the dearest hindsight's compute weighs as much as all that
    retraining can gain.
    """
    seconds = [sum(refits[start].cpu_seconds for start in starts) for starts in back.starts]
    gain = max(back.losses[0] - min(back.losses), 1e-12)
    alphas = gain / max(seconds) * np.logspace(-3, 1, 41)
    costs = np.array(back.losses)[None, :] + alphas[:, None] * np.array(seconds)[None, :]
    return CostCurve(
        alpha=tuple(alphas.tolist()),
        perennial=tuple((mine.loss + alphas * mine.cpu_seconds).tolist()),
        hindsight=tuple(costs.min(axis=1).tolist()),
        hindsight_retrains=tuple(costs.argmin(axis=1).tolist()),
    )


def _finite(scores: Sequence[float]) -> tuple[float | None, ...]:
    return tuple(value if math.isfinite(value) else None for value in scores)
