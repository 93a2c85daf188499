"""How often the detectors confirm a drift that is none, how fast one that is, and at what price.

``make bench-drift`` prints the tables and writes benchmarks/results/drift.json. The detector sees
each stream as the monitor does: a reference of twelve windows, then window after window, with what
it said before. Beside it stand alibi-detect's TabularDrift and Evidently's drift preset with their
defaults, which look at each window alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.drift_estimates import Estimates, measure_estimates
from benchmarks.drift_loss import LossRun, measure_loss
from benchmarks.drift_peers import Alibi, Pair, evidently
from benchmarks.drift_streams import CHANGES, FEATURES, QUIET, REFERENCE_WINDOWS, Scenario
from benchmarks.machine import describe, peak_memory
from perennial.drift import InputVerdict, build_detector
from perennial.packaging.signature import Feature
from perennial.spec import Policy

RESULT = Path(__file__).resolve().parent / "results" / "drift.json"
SIZES = (300, 1000)
"""Rows a window."""
LATER = 38
"""Windows behind the reference in a stream without a change."""
QUIET_RUNS, CHANGE_RUNS = 25, 400
PEER_RUNS, PEER_WINDOWS, PEER_CHANGE_RUNS = 3, 4, 4
"""Evidently takes seconds a window."""
CHANGE_AT = (2, 20)
"""A change comes after so many windows behind the reference."""
WIDE, LARGE, HUGE = 50, 100_000, 1_000_000
JOBS = 2


@dataclass(frozen=True)
class Rate:
    """Of a stream without a change: the share of windows. Of one with: that of runs, in time."""

    stream: str
    within: int | None
    ours: dict[int, float]
    """By rows a window: confirmed, two windows in a row being asked."""
    alibi: float
    """An alarm, at the larger window."""
    evidently: float


@dataclass(frozen=True)
class Cost:
    """Seconds of a check of 100,000 x 50 against as large a reference; memory of a larger one."""

    perennial: float
    perennial_build: float
    """Of what is learned from the reference, once for all its windows."""
    alibi: float
    evidently: float
    parquet_rows: int
    parquet_seconds: float
    parquet_peak_gb: float


def follow(frame: pd.DataFrame, rows: int) -> list[InputVerdict]:
    """Check window after window behind the reference."""
    first = REFERENCE_WINDOWS * rows
    detector = build_detector(Policy(), frame[:first], FEATURES, window_rows=rows)
    history: list[InputVerdict] = []
    for low in range(first, len(frame), rows):
        history.append(detector.check(frame[low : low + rows], history=history))
    return history


def false_confirmations(scenario: Scenario, rows: int, seed: int) -> float:
    """Share of the windows of one stream in which something is confirmed."""
    rng = np.random.default_rng(seed)
    windows = REFERENCE_WINDOWS + LATER
    history = follow(scenario.make(rng, rows, windows, windows), rows)
    return float(np.mean([verdict.confirmed for verdict in history]))


def in_time(scenario: Scenario, rows: int, seed: int) -> float:
    """1 where the change of one stream is confirmed within the windows it has; else 0."""
    frame, change = changing(scenario, rows, seed)
    history = follow(frame, rows)[change - REFERENCE_WINDOWS :]
    return float(any(verdict.confirmed for verdict in history))


def changing(scenario: Scenario, rows: int, seed: int) -> tuple[pd.DataFrame, int]:
    """Make a stream that ends where its change should have been seen, and say where it begins."""
    rng = np.random.default_rng(seed)
    change = REFERENCE_WINDOWS + int(rng.integers(*CHANGE_AT))
    assert scenario.within is not None
    return scenario.make(rng, rows, change + scenario.within, change), change


def measure_rates(pool: ProcessPoolExecutor) -> Iterator[Rate]:
    """Measure all streams, ours in the pool, the peers meanwhile."""
    scenarios = (*QUIET, *CHANGES)
    ours = {(s.name, rows): submit(pool, s, rows) for s in scenarios for rows in SIZES}
    for scenario in scenarios:
        quiet = scenario.within is None
        streams = [peer_windows(scenario, seed) for seed in range(peer_runs(quiet))]
        alibi = [[Alibi(ref).drifted(window) for ref, window in pairs] for pairs in streams]
        theirs = iter(evidently([pair for pairs in streams for pair in pairs]))
        evident = [[next(theirs)[0] > 0 for _ in pairs] for pairs in streams]
        over = np.mean if quiet else np.max
        yield Rate(
            stream=scenario.name,
            within=scenario.within,
            ours={rows: float(np.mean(list(ours[scenario.name, rows]))) for rows in SIZES},
            alibi=float(np.mean([over(found) for found in alibi])),
            evidently=float(np.mean([over(found) for found in evident])),
        )


def submit(pool: ProcessPoolExecutor, scenario: Scenario, rows: int) -> Iterator[float]:
    """Start all runs of one cell; their results come as they are asked for."""
    if scenario.within is None:
        return pool.map(partial(false_confirmations, scenario, rows), range(QUIET_RUNS))
    return pool.map(partial(in_time, scenario, rows), range(CHANGE_RUNS))


def peer_runs(quiet: bool) -> int:
    """How many streams the peers see."""
    return PEER_RUNS if quiet else PEER_CHANGE_RUNS


def peer_windows(scenario: Scenario, seed: int) -> list[Pair]:
    """Reference and windows as the peers get them: some of a quiet stream, those of a change."""
    rows = SIZES[-1]
    if scenario.within is None:
        windows = REFERENCE_WINDOWS + LATER
        frame = scenario.make(np.random.default_rng(seed), rows, windows, windows)
        chosen = np.linspace(REFERENCE_WINDOWS, windows - 1, PEER_WINDOWS).astype(int)
    else:
        frame, change = changing(scenario, rows, seed)
        chosen = np.arange(change, change + scenario.within)
    reference = frame[: REFERENCE_WINDOWS * rows]
    return [(reference, frame[rows * i : rows * (i + 1)]) for i in chosen]


def wide(rows: int, seed: int) -> pd.DataFrame:
    """Independent numbers."""
    values = np.random.default_rng(seed).standard_normal((rows, WIDE), dtype=np.float32)
    return pd.DataFrame(values.astype(np.float64), columns=[f"x{i}" for i in range(WIDE)])


def measure_cost() -> Cost:
    """Time one check; take the memory of a large one in a process of its own."""
    reference, window = wide(LARGE, 0), wide(LARGE, 1)
    features = [Feature(name=name, kind="numeric") for name in reference.columns]
    detector, build = timed(
        lambda: build_detector(Policy(), reference, features, window_rows=LARGE // 12)
    )
    _, check = timed(lambda: detector.check(window))
    _, alibi = timed(lambda: Alibi(reference).drifted(window))
    ((_, evident),) = evidently([(reference, window)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "huge.parquet"
        wide(HUGE, 2).to_parquet(path, row_group_size=LARGE)
        command = [sys.executable, "-m", "benchmarks.bench_drift", str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    large = json.loads(done.stdout)
    return Cost(
        perennial=check,
        perennial_build=build,
        alibi=alibi,
        evidently=evident,
        parquet_rows=HUGE,
        parquet_seconds=large["seconds"],
        parquet_peak_gb=large["peak_gb"],
    )


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and the least seconds of three that it took."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - started)
    return found, min(seconds)


def check_parquet(path: Path) -> None:
    """Check a Parquet file piece by piece; print seconds and this process's peak memory."""
    import pyarrow.parquet as pq

    from perennial.drift.detector import MomentsConfig
    from perennial.drift.moments import MomentsDetector

    reference = wide(LARGE, 0)
    features = [Feature(name=name, kind="numeric") for name in reference.columns]
    config = MomentsConfig(p_value=Policy().p_value, effect_size=Policy().effect_size)
    detector = MomentsDetector(config, reference, features, window_rows=LARGE // 12)
    started = time.perf_counter()
    batches = pq.ParquetFile(path).iter_batches(batch_size=LARGE)
    verdict = detector.check_parts((batch.to_pandas(), None) for batch in batches)
    assert verdict.rows == HUGE
    peak = peak_memory() / 2**30
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_gb": peak}))


def show(
    console: Console,
    rates: list[Rate],
    losses: list[LossRun],
    cost: Cost,
    estimates: list[Estimates],
) -> None:
    """Print the tables."""
    table = Table("stream", *[f"{n} rows" for n in SIZES], "TabularDrift", "Evidently", box=None)
    for r in rates:
        name = r.stream if r.within is None else f"{r.stream}, within {r.within}"
        cells = [f"{value:.1%}" for value in (*r.ours.values(), r.alibi, r.evidently)]
        table.add_row(name, *cells)
    console.print("Confirmed: share of windows where nothing matters, of runs where it does")
    console.print(table)
    table = Table("labels", "rows", "risen", "of", box=None)
    for loss in losses:
        table.add_row(loss.stream, str(loss.rows), f"{loss.risen:.1%}", loss.of)
    console.print("The loss against its promise")
    console.print(table)
    table = Table("stream", "metric", "windows", "estimate", "newest", "r", "r newest", box=None)
    for e in estimates:
        errors = f"{e.error:.1%}", f"{e.naive_error:.1%}"
        with_truth = f"{e.correlation:.2f}", f"{e.naive_correlation:.2f}"
        table.add_row(e.stream, e.metric, str(e.windows), *errors, *with_truth)
    console.print(
        "Loss without labels: mean error of a window's loss, as a share of it, and correlation "
        "with the truth; labels 5 windows late, beside the newest known loss"
    )
    console.print(table)
    console.print(
        f"100,000 x {WIDE}: {cost.perennial:.2f} s (reference {cost.perennial_build:.2f} s), "
        f"TabularDrift {cost.alibi:.1f} s, Evidently {cost.evidently:.1f} s; "
        f"{cost.parquet_rows:,} x {WIDE} from Parquet: {cost.parquet_seconds:.1f} s, "
        f"{cost.parquet_peak_gb:.2f} GB"
    )


def main() -> None:
    """Measure, print, write."""
    if len(sys.argv) > 1:
        check_parquet(Path(sys.argv[1]))
        return
    cost = measure_cost()
    with ProcessPoolExecutor(JOBS) as pool:
        rates = list(measure_rates(pool))
    losses, estimates = measure_loss(), measure_estimates()
    show(Console(highlight=False, width=110), rates, losses, cost, estimates)
    result = {
        "machine": describe(),
        "runs": {"without_change": QUIET_RUNS, "with_change": CHANGE_RUNS},
        "rates": [asdict(rate) for rate in rates],
        "loss": [asdict(loss) for loss in losses],
        "cost": asdict(cost),
        "estimates": [asdict(estimate) for estimate in estimates],
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
