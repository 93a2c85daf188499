"""How many leaks the gate finds on real streams, how often it is wrong, and the same of slices.

``make bench-gate`` prints the tables and writes benchmarks/results/gate.json. Each leak is made
from the stream's own target and added as a column (or as copied rows) at several places of each
stream; so are columns that are strong and honest, and the stream is looked at as it is. The slice
search is tried on simulated losses that follow their neighbours: with no difference anywhere, and
with a candidate that is 30% better on average and worse on an eighth of the rows.
"""

from __future__ import annotations

import hashlib
import json
import sys
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
PLACES = 4
ROWS, HELD = 8_000, 300
SLICE_RUNS = 400
RNG = np.random.default_rng(0)

Made = Callable[[pd.Series], object]
"""Gives a column, or several by name, from the target."""


def spread(y: pd.Series, share: float) -> np.ndarray:
    """Noise of a share of the target's spread."""
    return RNG.normal(0, share * y.std(), len(y))


def like(y: pd.Series) -> np.ndarray:
    """Values like the target's, that tell nothing of it."""
    return RNG.permutation(y)


def where(mask: object, y: pd.Series) -> np.ndarray:
    """The target on some rows, and values like it on the others."""
    return np.where(np.asarray(mask), y, like(y) + spread(y, 0.5))


def text(y: pd.Series) -> list[str]:
    """The target as a word of its own."""
    return [f"cust_{n}_{v:g}" for n, v in zip(RNG.permutation(len(y)), y, strict=True)]


def groups(y: pd.Series) -> list[str]:
    """Names of groups, about six rows each, whose rows have nearly one target."""
    group = y.rank(method="first").to_numpy().astype(int) // 6
    return [hashlib.md5(f"{number}".encode()).hexdigest()[:12] for number in group]


def parts(y: pd.Series) -> dict[str, np.ndarray]:
    """A positive number and what is left of the target."""
    a = RNG.normal(0, max(y.std(), 1.0), len(y))
    return {"a": a, "b": y - a}


def factors(y: pd.Series) -> dict[str, np.ndarray]:
    """A positive number and the target in its unit."""
    a = RNG.lognormal(0, 0.6, len(y))
    return {"a": a, "b": y / a}


def three(y: pd.Series) -> dict[str, np.ndarray]:
    """Three numbers whose sum is the target."""
    a, b = (RNG.normal(0, max(y.std(), 1.0), len(y)) for _ in range(2))
    return {"a": a, "b": b, "c": y - a - b}


LEAKS: dict[str, Made] = {
    "a copy": lambda y: y,
    "5 - 2 y": lambda y: 5 - 2 * y,
    "y with 1% noise": lambda y: y + spread(y, 0.01),
    "y with 3% noise": lambda y: y + spread(y, 0.03),
    "y in two digits": lambda y: y.map(lambda v: float(f"{v:.1e}")),
    "the rank of y": lambda y: y.rank(),
    "exp of y": lambda y: np.exp((y - y.mean()) / y.std()),
    "y of the next row": lambda y: y.shift(-1).fillna(0),
    "y of three rows later": lambda y: y.shift(-3).fillna(0),
    "y of 50 rows later": lambda y: y.shift(-50).fillna(0),
    "mean of y around the row": lambda y: y.rolling(5, center=True).mean().fillna(0),
    "mean of y up to the row": lambda y: y.rolling(4).mean().fillna(0),
    "y smoothed up to the row": lambda y: y.ewm(alpha=0.3).mean(),
    "change of y": lambda y: y.diff().fillna(0),
    "running sum of y": lambda y: y.cumsum(),
    "numbers handed out by y": lambda y: (y + spread(y, 1e-3)).rank(),
    "names handed out by y": lambda y: [f"row-{n:.0f}" for n in (y + spread(y, 1e-3)).rank()],
    "names of groups by y": groups,
    "y in a text": text,
    "y as the last digits": lambda y: RNG.permutation(len(y)) * 1000 + (y % 1000).round(),
    "y on a stretch of rows": lambda y: where(np.arange(len(y)) // 900 == 3, y),
    "y on some rows, else empty": lambda y: y.where(RNG.random(len(y)) < 0.3),
    "y on its upper rows": lambda y: where(y > y.mean(), y),
    "y = a + b": parts,
    "y = a b": factors,
    "y = a / b": lambda y: {name: v if name == "b" else 1 / v for name, v in factors(y).items()},
    "y = a - b + c": three,
}
HONEST: dict[str, Made] = {
    "y of the last row": lambda y: y.shift(1).fillna(0),
    "y of a day ago": lambda y: y.shift(24).fillna(0),
    "y of the last rows": lambda y: {f"l{k}": y.shift(k).fillna(0) for k in (1, 2, 3)},
    "mean of y before the row": lambda y: y.shift(1).rolling(4).mean().fillna(0),
    "y smoothed before the row": lambda y: y.shift(1).ewm(alpha=0.3).mean().fillna(0),
    "sum of y before the row": lambda y: y.shift(1).cumsum().fillna(0),
    "y with 100% noise": lambda y: y + spread(y, 1.0),
    "two columns of R2 .97": lambda y: {
        n: y + spread(y, 0.175 if y.nunique() > 2 else 0.8) for n in "ab"
    },
    "y with noise, as text": lambda y: [f"m {v:.2f} kg" for v in y + spread(y, 1.0)],
    "random numbers": lambda y: RNG.permutation(len(y)),
    "random names": lambda y: [f"{i:08d}" for i in RNG.permutation(len(y))],
    "names of random groups": lambda y: groups(pd.Series(RNG.permutation(len(y)))),
    "half empty": lambda y: (y + spread(y, 1.0)).where(RNG.random(len(y)) < 0.5),
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
                if leaks and (kind in HONEST or kind == "the stream as it is"):
                    print(name, kind, *(leak.detail for leak in leaks), sep="; ", file=sys.stderr)
    shares = {name: {k: n / PLACES for k, n in counts.items()} for name, counts in found.items()}
    return {**shares, "seconds": {"median": float(np.median(seconds)), "max": max(seconds)}}


def variants(
    piece: pd.DataFrame, features: tuple[str, ...], target: str, task: str
) -> Iterator[tuple[str, pd.DataFrame, tuple[str, ...]]]:
    """The rows as they are, with each column added, and with copied rows."""
    yield "the stream as it is", piece, features
    labels = piece[target]
    y = labels.astype(float) if task == "regression" else pd.Series(pd.factorize(labels)[0])
    for kind, make in {**LEAKS, **HONEST}.items():
        made = make(y)
        added = made if isinstance(made, dict) else {"added": made}
        columns = {f"_{name}": np.asarray(values) for name, values in added.items()}
        yield kind, piece.assign(**columns), (*features, *columns)
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
