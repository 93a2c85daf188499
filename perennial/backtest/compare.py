"""Policies side by side on one stream, by one seed or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from numpy.typing import NDArray

from perennial.backtest.baselines import (
    BaselinePolicy,
    BaselineRun,
    Refit,
    assemble,
    every_gains,
    held_stream,
    processes,
    recovered,
    refit_starts,
    submit_refits,
)
from perennial.backtest.figures import cost_curve, labelled_rows, of_baseline, of_replay
from perennial.backtest.hindsight import look_back, window_losses
from perennial.backtest.policies import POLICIES, YARDSTICKS, PolicyName, YardstickName
from perennial.backtest.replay import AT_ONCE, ReplayedRun, declared_as_cut, replay
from perennial.backtest.result import Backtest, CostCurve, PolicyResult
from perennial.backtest.spread import Repeated
from perennial.backtest.stream import Cut, Recorded, cut, seeded
from perennial.backtest.yardsticks import REASONS, check_installed, follow
from perennial.errors import TrainingError
from perennial.evaluation.metrics import GREATER_IS_BETTER
from perennial.registry import Declaration
from perennial.spec import PipelineSpec
from perennial.training.columns import encode_target

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""


def backtest(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    *,
    policies: Sequence[PolicyName | YardstickName] = POLICIES,
    windows: int = 50,
    train_fraction: float = 0.2,
    label_delay_windows: int = 0,
    at_once: bool = False,
    folder: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Replay policies over a stream, on all cores, by the declared seed: see `repeat`."""
    found = repeat(
        frame,
        spec,
        seeds=1,
        policies=policies,
        windows=windows,
        train_fraction=train_fraction,
        label_delay_windows=label_delay_windows,
        at_once=at_once,
        folder=folder,
        jobs=jobs,
        progress=progress,
    )
    return found.runs[0]


def repeat(
    frame: pd.DataFrame,
    spec: PipelineSpec,
    *,
    seeds: int,
    policies: Sequence[PolicyName | YardstickName] = POLICIES,
    windows: int = 50,
    train_fraction: float = 0.2,
    label_delay_windows: int = 0,
    at_once: bool = False,
    folder: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Repeated:
    """Replay policies over a stream, on all cores, with what is luck varied.

    Run k of N takes the declared seed plus k for all fits, and its windows begin k/N of a window
    earlier: the first fraction loses as many rows, and the last rows of the stream are left out.
    Every policy is replayed in every run.

    Args:
        frame: the whole stream in time order, with its target.
        seeds: how many runs.
        policies: which; hindsight retrains as often as perennial (as periodic-5 without it).
        windows: into how many equal windows the rows after the first fraction are cut.
        label_delay_windows: windows by which labels come later than their window's end.
        at_once: versions take over as soon as they are registered, whatever stages are declared.
        folder: where the pipeline.yaml lies, and a person's expectations beside it; None: nowhere.
        jobs: processes; None for all cores. Nothing but the wall time depends on it.
        progress: called with (fits and replays done, those of all runs).

    Raises:
        SpecError: a policy needs a package that is not installed.
        SourceError: too few rows for that many windows, or no label to begin with.
        TrainingError: there is no feature to learn from, the target is not what the task wants, or
            no run's version 1 passed its gate.
    """
    check_installed(policies)
    encode_target(frame[spec.target].dropna(), spec.task)  # says so before any worker starts
    where = cut(
        len(frame),
        windows=windows,
        train_fraction=train_fraction,
        label_delay_windows=label_delay_windows,
    )
    if "perennial" in policies:
        declared_as_cut(spec, where)  # says so before any worker starts
    cuts = [where.earlier(round(k * where.window_rows / seeds)) for k in range(seeds)]
    if at_once:
        spec = spec.model_copy(update={"rollout": AT_ONCE})
    with processes(frame, spec, jobs) as pool:
        work = [
            _Work.begin(pool, seeded(spec, spec.model.seed + k), earlier, policies, folder)
            for k, earlier in enumerate(cuts)
        ]
        for one in work:  # behind all that takes longer
            starts = _starts_needed(policies, windows)
            one.refits.extend(submit_refits(pool, one.where, starts, one.spec.model.seed))
        _await(work, progress)
    runs, refused = [], []
    for one in work:
        if (error := one.refused) is not None:
            refused.append(f"seed {one.spec.model.seed}: {error}")
            continue
        earlier_rows = where.first - one.where.first
        runs.append(_compare(frame, one, policies, train_fraction, earlier_rows))
    return Repeated(runs=tuple(runs), refused=tuple(refused))


@dataclass(frozen=True)
class _Work:
    """What worker processes do for one run."""

    spec: PipelineSpec
    where: Cut
    replayed: Future[ReplayedRun] | None
    followed: dict[str, Future[BaselineRun]]
    refits: list[Future[Refit]]

    @classmethod
    def begin(
        cls,
        pool: ProcessPoolExecutor,
        spec: PipelineSpec,
        where: Cut,
        policies: Sequence[str],
        folder: Path | None,
    ) -> _Work:
        """Have everything made but the refits."""
        seed = spec.model.seed
        mine = None
        if "perennial" in policies:
            mine = pool.submit(_replay, where, seed, folder)
        asked = [name for name in YARDSTICKS if name in policies]
        others: dict[str, Future[BaselineRun]] = {
            name: pool.submit(_follow, name, where, seed) for name in asked
        }
        return cls(spec, where, mine, others, [])

    @property
    def futures(self) -> list[Future[Any]]:
        """All of it."""
        mine = [] if self.replayed is None else [self.replayed]
        return [*mine, *self.followed.values(), *self.refits]

    @property
    def refused(self) -> BaseException | None:
        """Why there is no version 1; None: there is one, or it is not known yet."""
        if self.replayed is None or not self.replayed.done():
            return None
        return self.replayed.exception()


def _await(work: Sequence[_Work], progress: Progress | None) -> None:
    """Wait for all of it.

    Raises:
        TrainingError: no run has a version 1.
    """
    futures = [future for one in work for future in one.futures]
    for done, future in enumerate(as_completed(futures), start=1):
        error = future.exception()
        stands_alone = isinstance(error, TrainingError) and not all(one.refused for one in work)
        if error is not None and not stands_alone:
            raise error
        if progress is not None:
            progress(done, len(futures))


def _replay(where: Cut, seed: int, folder: Path | None) -> ReplayedRun:
    recorded = held_stream(where, seed)
    home = None if folder is None else str(folder.resolve())
    return replay(recorded, Declaration(spec=recorded.spec, folder=home))


def _follow(name: YardstickName, where: Cut, seed: int) -> BaselineRun:
    return follow(name, held_stream(where, seed))


def _compare(
    frame: pd.DataFrame,
    work: _Work,
    policies: Sequence[str],
    train_fraction: float,
    earlier_rows: int,
) -> Backtest:
    """Put the policies of a run side by side."""
    spec, where = work.spec, work.where
    recorded = Recorded(frame.iloc[: where.end], spec, where)
    run = None if work.replayed is None else work.replayed.result()
    refits = {refit.start: refit for refit in (future.result() for future in work.refits)}
    results: dict[str, PolicyResult] = {}
    outputs: dict[str, NDArray[Any]] = {}
    if run is not None:
        results["perennial"] = of_replay(run, recorded)
    for name in policies:
        if name in get_args(BaselinePolicy):
            chosen = refit_starts(name, where.windows)  # type: ignore[arg-type]
            baseline = assemble(name, recorded.frame, spec, where, chosen, refits)
            outputs[name] = baseline.outputs
            results[name] = of_baseline(baseline, recorded, f"{name} says so")
    for name, future in work.followed.items():
        results[name] = of_baseline(future.result(), recorded, REASONS[name])
    cost = None
    if "hindsight" in policies:
        results["hindsight"], cost = _in_hindsight(recorded, results.get("perennial"), refits)
    gains = {"never", "every"} <= outputs.keys() and every_gains(
        recorded.frame, spec, outputs["never"], outputs["every"]
    )
    return Backtest(
        pipeline=spec.name,
        metric=spec.metric,
        greater_is_better=GREATER_IS_BETTER[spec.metric],
        rows=len(recorded.frame),
        windows=where.windows,
        train_fraction=train_fraction,
        label_delay_windows=where.label_delay_windows,
        at_once=spec.rollout == AT_ONCE,
        seed=spec.model.seed,
        earlier_rows=earlier_rows,
        labelled=labelled_rows(recorded),
        policies={name: _with_recovered(results, name, gains) for name in policies},
        gains=gains,
        cost=cost,
    )


def _starts_needed(policies: Sequence[str], windows: int) -> tuple[int, ...]:
    if "hindsight" in policies:
        return tuple(range(windows))
    names = [name for name in policies if name in get_args(BaselinePolicy)]
    needed = {start for name in names for start in refit_starts(name, windows)}  # type: ignore[arg-type]
    return tuple(sorted(needed))


def _in_hindsight(
    recorded: Recorded, mine: PolicyResult | None, refits: dict[int, Refit]
) -> tuple[PolicyResult, CostCurve | None]:
    where = recorded.where
    known = len(recorded.labelled(where.first, where.end))
    back = look_back(window_losses(recorded, refits), known, where.windows - 1)
    chosen = back.starts[where.windows // 5 if mine is None else mine.retrains]
    best = assemble("hindsight", recorded.frame, recorded.spec, where, chosen, refits)
    cost = None if mine is None else cost_curve(mine, back, refits)
    return of_baseline(best, recorded, "the best moment, seen afterwards"), cost


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
