"""What the policy is worth on the past of real streams, and that it leaves a stream alone which
does not change.

``make bench-backtest`` replays each stream with defaults, 50 windows after the first 20%, labels at
the end of their window and five windows late; it prints the tables and writes
benchmarks/results/backtest.json. What a stream shows by one seed is partly luck, of the policy's
models and of those beside it, so each is replayed with further seeds, too (``--seeds 5``: as many;
seed by seed, so that each has all streams). There versions take over at once; what the declared
stages of a rollout cost is shown beside it, on the real streams by the default seed.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from benchmarks.machine import describe
from perennial.backtest.compare import Backtest, CostCurve, PolicyResult, backtest
from perennial.datasets.source import read_source
from perennial.errors import TrainingError
from perennial.spec import PipelineSpec, load_spec

PROJECT = Path(__file__).resolve().parents[1]
RESULT = PROJECT / "benchmarks" / "results" / "backtest.json"
LATE = (0, 5)
DEFAULT_SEED = 0
_REAL = (("bike", 1), ("elec2", 1), ("flights", 5), ("flights", 1))
"""Folders under data/, and of how many rows one is taken."""
_CONTROL_ROWS = 12_000
_MIDDLE = slice(10, -10)
"""Of the cost sweep: without its first and last quarter, where only loss or only compute counts."""


class Row(BaseModel):
    """One stream, one delay of its labels, one seed of all fits."""

    model_config = ConfigDict(frozen=True)

    stream: str
    control: bool
    metric: str
    rows: int
    label_delay_windows: int
    seed: int
    at_once: bool
    """Whether versions took over as soon as their gate had passed them; else by the stages that the
    pipeline declares."""
    score: float
    never: float
    every: float
    hindsight: float
    recovered: float | None
    worse_than_never: float
    """Share of never's score by which the policy's is worse; below 0 it is better."""
    heals: dict[str, int]
    retrains: int
    refused: int
    fits: int
    cpu_share: float
    """CPU seconds as a share of those of ``every``."""
    cost_wins: float
    """Share of the middle of the cost sweep in which it costs no more than hindsight."""


def summarise(found: Backtest, *, control: bool) -> Row:
    """Take a backtest of all policies together."""
    policies = found.policies
    mine, never, every = policies["perennial"], policies["never"], policies["every"]
    lost = never.score - mine.score if found.greater_is_better else mine.score - never.score
    assert found.cost is not None
    return Row(
        stream=found.pipeline,
        control=control,
        metric=found.metric,
        rows=found.rows,
        label_delay_windows=found.label_delay_windows,
        seed=found.seed,
        at_once=found.at_once,
        score=mine.score,
        never=never.score,
        every=every.score,
        hindsight=policies["hindsight"].score,
        recovered=mine.recovered,
        worse_than_never=lost / never.score,
        heals=mine.heals,
        retrains=mine.retrains,
        refused=_refused(mine),
        fits=mine.fits,
        cpu_share=mine.cpu_seconds / every.cpu_seconds,
        cost_wins=cost_wins(found.cost),
    )


def cost_wins(cost: CostCurve) -> float:
    """Share of the middle of the sweep in which the policy costs no more than hindsight."""
    mine, best = np.array(cost.perennial)[_MIDDLE], np.array(cost.hindsight)[_MIDDLE]
    return float(np.mean(mine <= best))


def _refused(result: PolicyResult) -> int:
    asked = sum(decision.decision == "retrain" for decision in result.decisions[:-1])
    return asked - result.retrains


def real_streams() -> Iterator[tuple[pd.DataFrame, PipelineSpec]]:
    """Give the streams under data/ whose source is there."""
    for folder, step in _REAL:
        declared = PROJECT / "data" / folder
        spec = load_spec(declared)
        if spec.source.made_by is None and not (declared / spec.source.uri).exists():
            continue
        name = spec.name if step == 1 else f"{spec.name}-every-{step}"
        rows = read_source(spec, declared).iloc[::step].reset_index(drop=True)
        yield rows, spec.model_copy(update={"name": name})


def controls() -> Iterator[tuple[pd.DataFrame, PipelineSpec]]:
    """Make streams of which no row tells anything that the first fraction did not."""
    makers: dict[str, tuple[str, str, Callable[[np.random.Generator], pd.DataFrame]]] = {
        "stationary": ("regression", "rmse", _stationary),
        "stationary-binary": ("binary", "auc", _stationary_binary),
        "noise": ("binary", "log_loss", _noise),
        "ar-noise": ("regression", "rmse", _autocorrelated),
    }
    for seed, (name, (task, metric, make)) in enumerate(makers.items()):
        declared = {"name": name, "task": task, "metric": metric, "target": "y"}
        spec = PipelineSpec.model_validate({**declared, "source": {"uri": "made"}})
        yield make(np.random.default_rng(seed)), spec


def _features(rng: np.random.Generator) -> pd.DataFrame:
    names = [f"x{i}" for i in range(8)]
    return pd.DataFrame(rng.normal(size=(_CONTROL_ROWS, len(names))), columns=names)


def _signal(x: pd.DataFrame) -> pd.Series:
    return 2 * x["x0"] + np.sin(2 * x["x1"]) + x["x2"] * x["x3"]


def _stationary(rng: np.random.Generator) -> pd.DataFrame:
    x = _features(rng)
    return x.assign(y=_signal(x) + rng.normal(size=len(x)))


def _stationary_binary(rng: np.random.Generator) -> pd.DataFrame:
    x = _features(rng)
    return x.assign(y=(rng.random(len(x)) < 1 / (1 + np.exp(-_signal(x)))).astype(int))


def _noise(rng: np.random.Generator) -> pd.DataFrame:
    """Nearly nothing to learn, so that each model is mostly its own sample's noise."""
    x = _features(rng)
    return x.assign(y=(rng.random(len(x)) < 1 / (1 + np.exp(-0.1 * x["x0"]))).astype(int))


def _autocorrelated(rng: np.random.Generator) -> pd.DataFrame:
    """What neighbouring rows share is noise: AR(1) with rho 0.95, half of the target's spread."""
    x = _features(rng)
    shocks = rng.normal(size=len(x))
    noise = np.zeros(len(x))
    for row in range(1, len(x)):
        noise[row] = 0.95 * noise[row - 1] + shocks[row]
    return x.assign(y=_signal(x) + noise)


def tables(rows: list[Row]) -> str:
    """Write the figures as the README has them: one table for each delay of the labels."""
    parts = []
    for late in LATE:
        header = ["stream", f"labels {late} windows late: never", *_COLUMNS]
        lines = [header, ["---", *["---:"] * (len(header) - 1)]]
        shown = [row for row in rows if row.label_delay_windows == late and row.at_once]
        lines += [_cells(row, shown) for row in shown if row.seed == DEFAULT_SEED]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join([*parts, _of_stages(rows)])


def _of_stages(rows: list[Row]) -> str:
    """Write what the declared stages cost."""
    header = ["stream", "never", "every", "at once", "by stages", "recovered so", "took over"]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    fast = {row.stream: row for row in rows if _is_first(row) and row.at_once}
    for row in rows:
        if not _is_first(row) or row.at_once or row.stream not in fast:
            continue
        scores = (row.never, row.every, fast[row.stream].score, row.score)
        recovered = "" if row.recovered is None else f"{row.recovered:.2f}"
        count = sum(row.heals.values())
        cells = [f"{row.stream}, {row.metric}", *(f"{score:.4g}" for score in scores)]
        lines.append([*cells, recovered, str(count)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _is_first(row: Row) -> bool:
    return row.label_delay_windows == 0 and row.seed == DEFAULT_SEED


_COLUMNS = (
    *("every", "hindsight", "policy", "recovered", "by seed"),
    *("heads", "retrains", "CPU", "cost"),
)


def _cells(row: Row, shown: list[Row]) -> list[str]:
    scores = (row.never, row.every, row.hindsight, row.score)
    heads = row.heals["correct"]
    retrains = f"{row.retrains} ({row.refused})" if row.refused else str(row.retrains)
    same = [] if row.control else [other for other in shown if other.stream == row.stream]
    shares = [other.recovered for other in same if other.recovered is not None]
    recovered = "" if row.control or row.recovered is None else f"{row.recovered:.2f}"
    return [
        f"{row.stream}, {row.metric}",
        *(f"{score:.4g}" for score in scores),
        recovered,
        f"{min(shares):.2f} to {max(shares):.2f}" if len(shares) > 1 else "",
        str(heads),
        retrains,
        f"{row.cpu_share:.2f}",
        f"{row.cost_wins:.0%}",
    ]


def main() -> None:
    """Replay all streams."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args()
    console = Console(highlight=False)
    streams = sorted(
        [
            *((*stream, False) for stream in real_streams()),
            *((*stream, True) for stream in controls()),
        ],
        key=lambda stream: (stream[2], len(stream[0])),
    )
    rows: list[Row] = []
    for seed in range(DEFAULT_SEED, DEFAULT_SEED + asked.seeds):
        for late, (frame, declared, control) in itertools.product(LATE, streams):
            rows += _replay(console, frame, declared, control, late, seed, at_once=True)
            _write(rows)
        for frame, declared, control in streams:
            if seed == DEFAULT_SEED and not control:
                rows += _replay(console, frame, declared, control, 0, seed, at_once=False)
                _write(rows)
    print(tables(rows))


def _replay(
    console: Console,
    frame: pd.DataFrame,
    declared: PipelineSpec,
    control: bool,
    late: int,
    seed: int,
    *,
    at_once: bool,
) -> list[Row]:
    """Replay one stream; nothing where its gate lets no first version in, as in production."""
    model = declared.model.model_copy(update={"seed": seed})
    spec = declared.model_copy(update={"model": model})
    with console.status(f"{spec.name}, labels {late} windows late, seed {seed}"):
        try:
            found = backtest(frame, spec, label_delay_windows=late, at_once=at_once)
        except TrainingError as error:
            console.print(f"{spec.name}, seed {seed}: {error}", soft_wrap=True)
            return []
    return [summarise(found, control=control)]


def _write(rows: list[Row]) -> None:
    """Keep what there is so far: all of it takes minutes."""
    result = {"machine": describe(), "streams": [row.model_dump(mode="json") for row in rows]}
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
