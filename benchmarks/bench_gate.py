"""How many leaks the gate finds on real streams, how often it is wrong, and the same of slices.

``make bench-gate`` prints the tables and writes benchmarks/results/gate.json. Each leak is made
from the stream's own target and added as a column (or as copied rows) at several places of each
stream; so are columns that are strong and honest, and the stream is looked at as it is. The slice
search is tried on simulated losses that follow their neighbours: with no difference anywhere, and
with a candidate that is 30% better on average and worse on an eighth of the rows.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from perennial.datasets.source import read_source
from perennial.errors import SourceError
from perennial.evaluation.leakage import find_leaks
from perennial.evaluation.slices import find_slices, judge_slices
from perennial.spec import load_spec
from perennial.training.columns import infer_features

RESULT = Path(__file__).resolve().parent / "results" / "gate.json"
STREAMS = ("bike", "elec2", "flights")
PLACES = 12
ROWS, HELD = 8_000, 300
SLICE_RUNS = 400
RNG = np.random.default_rng(0)

Column = Callable[[pd.Series], object]
LEAKS: dict[str, Column] = {
    "a copy": lambda y: y,
    "5 - 2 y": lambda y: 5 - 2 * y,
    "y with 3% noise": lambda y: y + RNG.normal(0, 0.03 * y.std(), len(y)),
    "the rank of y": lambda y: y.rank(),
    "y of the next row": lambda y: y.shift(-1).fillna(0),
    "y of three rows later": lambda y: y.shift(-3).fillna(0),
    "mean of y around the row": lambda y: y.rolling(5, center=True).mean().fillna(0),
    "mean of y up to the row": lambda y: y.rolling(4).mean().fillna(0),
    "y smoothed up to the row": lambda y: y.ewm(alpha=0.3).mean(),
    "change of y": lambda y: y.diff().fillna(0),
    "running sum of y": lambda y: y.cumsum(),
    "numbers handed out by y": lambda y: (y + RNG.normal(0, 1e-3 * y.std(), len(y))).rank(),
}
HONEST: dict[str, Column] = {
    "y of the last row": lambda y: y.shift(1).fillna(0),
    "y of a day ago": lambda y: y.shift(24).fillna(0),
    "mean of y before the row": lambda y: y.shift(1).rolling(4).mean().fillna(0),
    "y smoothed before the row": lambda y: y.shift(1).ewm(alpha=0.3).mean().fillna(0),
    "sum of y before the row": lambda y: y.shift(1).cumsum().fillna(0),
    "y with 100% noise": lambda y: y + RNG.normal(0, y.std(), len(y)),
    "random numbers": lambda y: RNG.permutation(len(y)),
    "random names": lambda y: [f"{i:08d}" for i in RNG.permutation(len(y))],
}


def pieces(name: str) -> Iterator[tuple[pd.DataFrame, tuple[str, ...], str, str]]:
    """Cut a stream at several places: rows, features, target, task."""
    folder = Path("data") / name
    spec = load_spec(folder)
    frame = read_source(spec, folder, fetch=_no_bucket)
    frame = frame[frame[spec.target].notna()].reset_index(drop=True)
    features = tuple(f.name for f in infer_features(frame, spec))
    for end in np.linspace(ROWS, len(frame), PLACES).astype(int):
        piece = frame.iloc[end - ROWS : end].reset_index(drop=True)
        yield piece, features, spec.target, spec.task


def _no_bucket(bucket: str, key: str) -> bytes:
    raise SourceError(f"s3://{bucket}/{key} is not read here")


def measure_leaks() -> dict[str, dict[str, float]]:
    """For each column, the share of places at which it was named; by stream."""
    found: dict[str, Counter[str]] = {name: Counter() for name in STREAMS}
    seconds: list[float] = []
    for name in STREAMS:
        for piece, features, target, task in pieces(name):
            for kind, frame, names in variants(piece, features, target, task):
                began = time.perf_counter()
                leaks = find_leaks(frame, names, target, task, held=HELD)
                seconds.append(time.perf_counter() - began)
                found[name][kind] += bool(leaks)
    shares = {name: {k: n / PLACES for k, n in counts.items()} for name, counts in found.items()}
    return {**shares, "seconds": {"median": float(np.median(seconds)), "max": max(seconds)}}


def variants(
    piece: pd.DataFrame, features: tuple[str, ...], target: str, task: str
) -> Iterator[tuple[str, pd.DataFrame, tuple[str, ...]]]:
    """The rows as they are, with each column added, and with copied rows."""
    yield "the stream as it is", piece, features
    labels = piece[target]
    y = labels.astype(float) if task == "regression" else pd.Series(pd.factorize(labels)[0])
    for kind, column in {**LEAKS, **HONEST}.items():
        yield kind, piece.assign(added=np.asarray(column(y))), (*features, "added")
    copied = pd.concat([piece.iloc[:-30], piece.iloc[:30]], ignore_index=True)
    yield "a tenth of the held-out rows copied", copied, features


def measure_slices(rows: int, worse: float) -> float:
    """Share of simulated candidates that are refused for a slice."""
    refused = 0
    for seed in range(SLICE_RUNS):
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame({f"x{i}": rng.normal(size=rows) for i in range(8)})
        frame["shop"] = rng.choice(list("abcdefgh"), rows)
        slow = np.convolve(rng.normal(size=rows + 20), np.ones(21) / 21**0.5, "valid")
        theirs, mine = ((0.6 * slow + 0.8 * rng.normal(size=rows)) ** 2 for _ in range(2))
        if worse:
            mine = np.where(frame["shop"] == "a", (1 + worse) * mine, 0.7 * mine)
        parts = judge_slices(find_slices(frame, (), frame.columns), mine, theirs, 0.0)
        refused += any(part.refused for part in parts)
    return refused / SLICE_RUNS


def main() -> None:
    """Measure, print, write."""
    console = Console(highlight=False, width=110)
    leaks = measure_leaks()
    table = Table("named at so many of the places", *STREAMS, box=None)
    for kind in leaks[STREAMS[0]]:
        table.add_row(kind, *(f"{leaks[name][kind]:.0%}" for name in STREAMS))
    console.print(table)
    slices = [
        {"rows": rows, "worse": worse, "refused": measure_slices(rows, worse)}
        for rows in (150, 500, 3000)
        for worse in (0.0, 1.0, 2.0)
    ]
    table = Table("rows of the gate", "worse on an eighth by", "refused", box=None)
    for line in slices:
        table.add_row(f"{line['rows']:,}", f"{line['worse']:.0%}", f"{line['refused']:.1%}")
    console.print(table)
    result = {"machine": describe(), "places": PLACES, "leaks": leaks, "slices": slices}
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
