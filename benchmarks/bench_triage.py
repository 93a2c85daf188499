"""How often triage holds a broken window, and how rarely a sound one, on real streams.

``make bench-triage`` prints a table a stream and writes benchmarks/results/triage.json. Triage
learns from the first fifth and sees the rest window by window, as the monitor does: what it finds
sound joins its past. Each window is then broken in nine ways, each judged against the same past.
The column that is broken is drawn at random from those in which the corruption changes more than
half of the rows.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from perennial.backtest.stream import cut
from perennial.datasets.source import read_source
from perennial.spec import PipelineSpec, Span, load_spec
from perennial.validation.triage import Triage

PROJECT = Path(__file__).resolve().parents[1]
RESULT = PROJECT / "benchmarks" / "results" / "triage.json"
STREAMS = ("bike", "elec2", "flights")
WINDOWS = 50
FACTORS = (1.609344, 2.54, 10.0, 60.0, 100.0, 1000.0)
_FEW = 40

Broken = tuple[pd.DataFrame, pd.Series]
Corruption = Callable[[pd.DataFrame, PipelineSpec, np.random.Generator], Broken | None]


def features(frame: pd.DataFrame, spec: PipelineSpec) -> list[str]:
    """Columns that a model looks at."""
    return [c for c in frame.columns if c not in {spec.target, spec.time, *spec.ignore}]


def _numeric(frame: pd.DataFrame, spec: PipelineSpec) -> list[str]:
    found = [c for c in features(frame, spec) if pd.api.types.is_numeric_dtype(frame[c])]
    return [c for c in found if frame[c].nunique() > 10 and (frame[c].fillna(0) != 0).mean() > 0.5]


def _varied(frame: pd.DataFrame, spec: PipelineSpec) -> list[str]:
    return [c for c in features(frame, spec) if frame[c].value_counts(normalize=True).max() < 0.5]


def unit_change(frame: pd.DataFrame, spec: PipelineSpec, rng: np.random.Generator) -> Broken | None:
    """A numeric column in another unit: times a common factor or its inverse, or C for F."""
    columns = _numeric(frame, spec)
    if not columns:
        return None
    name = rng.choice(columns)
    factor = rng.choice(FACTORS) ** rng.choice([-1, 1])
    values = frame[name] * factor
    if rng.random() < 1 / (len(FACTORS) + 1):
        values = (frame[name] - 32) / 1.8
    return frame.assign(**{name: values}), frame[spec.target]


def frozen_column(
    frame: pd.DataFrame, spec: PipelineSpec, rng: np.random.Generator
) -> Broken | None:
    """A column that stays at one of its values."""
    columns = _varied(frame, spec)
    if not columns:
        return None
    name = rng.choice(columns)
    return frame.assign(**{name: frame[name].dropna().iloc[0]}), frame[spec.target]


def swapped_columns(
    frame: pd.DataFrame, spec: PipelineSpec, rng: np.random.Generator
) -> Broken | None:
    """Two columns of one kind, each under the other's name."""
    columns = features(frame, spec)
    pairs = [
        (a, b)
        for a in columns
        for b in columns
        if a < b
        and pd.api.types.is_numeric_dtype(frame[a]) == pd.api.types.is_numeric_dtype(frame[b])
        and (frame[a] != frame[b]).mean() > 0.5
        and max(frame[a].nunique(), frame[b].nunique()) > 1
    ]
    if not pairs:
        return None
    a, b = pairs[rng.integers(len(pairs))]
    return frame.assign(**{a: frame[b], b: frame[a]}), frame[spec.target]


def recoded_categories(
    frame: pd.DataFrame, spec: PipelineSpec, rng: np.random.Generator
) -> Broken | None:
    """A column of categories or codes under a new key: other names, or the known ones mixed up."""
    columns = [
        c
        for c in _varied(frame, spec)
        if not pd.api.types.is_numeric_dtype(frame[c])
        or (frame[c].nunique() <= _FEW and (frame[c].dropna() % 1 == 0).all())
    ]
    if not columns:
        return None
    name = rng.choice(columns)
    levels = frame[name].dropna().unique()
    if pd.api.types.is_numeric_dtype(frame[name]) or rng.random() < 0.5:
        codes = dict(zip(levels, np.roll(levels, 1), strict=True))
    else:
        codes = {level: f"{number:03d}" for number, level in enumerate(levels)}
    return frame.assign(**{name: frame[name].map(codes)}), frame[spec.target]


def duplicated_rows(
    frame: pd.DataFrame, spec: PipelineSpec, rng: np.random.Generator
) -> Broken | None:
    """A third of the rows came twice."""
    again = np.sort(rng.choice(len(frame), len(frame) // 3, replace=False))
    broken = frame.iloc[np.sort(np.concatenate([np.arange(len(frame)), again]))]
    broken = broken.reset_index(drop=True)
    return broken, broken[spec.target]


def truncated_rows(
    frame: pd.DataFrame, spec: PipelineSpec, rng: np.random.Generator
) -> Broken | None:
    """Only the first half of the rows, or fewer."""
    kept = frame.iloc[: int(len(frame) * rng.uniform(0.1, 0.5))]
    return kept, kept[spec.target]


def clock_skew(frame: pd.DataFrame, spec: PipelineSpec, rng: np.random.Generator) -> Broken | None:
    """A clock that is hours to a month ahead or behind."""
    if spec.time is None:
        return None
    hours = rng.choice([1, 2, 5, 8, 12, 24, 72, 720]) * rng.choice([-1, 1])
    return frame.assign(**{spec.time: frame[spec.time] + pd.Timedelta(hours=int(hours))}), frame[
        spec.target
    ]


def labels_flipped(
    frame: pd.DataFrame, spec: PipelineSpec, rng: np.random.Generator
) -> Broken | None:
    """A third of the labels is another class, or mirrored in the middle of their range."""
    labels = frame[spec.target].copy()
    hit = rng.random(len(labels)) < 1 / 3
    if spec.task == "regression":
        turned = labels.max() + labels.min() - labels
    else:
        levels = np.sort(labels.dropna().unique())
        turned = labels.map(dict(zip(levels, np.roll(levels, 1), strict=True)))
    return frame, labels.where(~hit, turned)


def labels_late(frame: pd.DataFrame, spec: PipelineSpec, rng: np.random.Generator) -> Broken | None:
    """Half of the labels, or all, have not come though they are due."""
    share = rng.choice([0.5, 1.0])
    return frame, frame[spec.target].where(rng.random(len(frame)) >= share)


CORRUPTIONS: tuple[Corruption, ...] = (
    unit_change,
    frozen_column,
    swapped_columns,
    recoded_categories,
    duplicated_rows,
    truncated_rows,
    clock_skew,
    labels_flipped,
    labels_late,
)


@dataclass
class Tally:
    """How many windows were held, of how many, and under the right name."""

    windows: int = 0
    held: int = 0
    named: int = 0
    missed: list[str] = field(default_factory=list)


@dataclass
class StreamResult:
    """A stream's table."""

    stream: str
    rows: int
    clean: Tally
    kinds: dict[str, Tally]


def measure(name: str, windows: int = WINDOWS) -> StreamResult:
    """Play a stream."""
    folder = PROJECT / "data" / name
    spec = load_spec(folder)
    frame = read_source(spec, folder)
    where = cut(len(frame), windows=windows, train_fraction=0.2)
    rows = where.window_rows
    by_rows = spec.model_copy(
        update={"monitor": spec.monitor.model_copy(update={"window": Span(rows=rows)})}
    )
    triage = Triage.fit(frame.iloc[: where.first], by_rows, rows)
    result = StreamResult(name, len(frame), Tally(), {c.__name__: Tally() for c in CORRUPTIONS})
    for number in range(windows):
        window = frame.iloc[where.bounds[number] : where.bounds[number + 1]].reset_index(drop=True)
        verdict = triage.check(f"w{number}", window, window[spec.target])
        result.clean.windows += 1
        if verdict.held:
            result.clean.held += 1
            result.clean.missed.append(f"w{number}: {verdict.reason}")
        for corruption in CORRUPTIONS:
            _break(triage, by_rows, window, corruption, number, result)
        triage = triage.after(window)
    return result


def _break(
    triage: Triage,
    spec: PipelineSpec,
    window: pd.DataFrame,
    corruption: Corruption,
    number: int,
    result: StreamResult,
) -> None:
    kind = corruption.__name__
    rng = np.random.default_rng([zlib.crc32(kind.encode()), number])
    broken = corruption(window, spec, rng)
    if broken is None:
        return
    frame, labels = broken
    of_labels = kind.startswith("labels")
    verdict = triage.check(f"w{number}", frame, labels if of_labels else None)
    tally = result.kinds[kind]
    tally.windows += 1
    tally.held += verdict.held
    tally.named += kind in {cause.kind for cause in verdict.causes}
    if not verdict.held:
        changed = [
            c
            for c in frame.columns
            if c in window and len(frame) == len(window) and not frame[c].equals(window[c])
        ]
        tally.missed.append(f"w{number}: {', '.join(changed)}")


def show(console: Console, results: list[StreamResult]) -> None:
    """Print the table: share of the windows held, and of those under the right name."""
    table = Table("held (named)", *(r.stream for r in results), box=None)
    for corruption in CORRUPTIONS:
        kind = corruption.__name__
        table.add_row(kind.replace("_", " "), *(_cell(r.kinds[kind]) for r in results))
    table.add_row("clean", *(_cell(r.clean) for r in results))
    console.print(table)


def _cell(tally: Tally) -> str:
    if not tally.windows:
        return "-"
    text = f"{tally.held / tally.windows:.0%}"
    return text + (f" ({tally.named / tally.windows:.0%})" if tally.named else "")


def main() -> None:
    """Measure, print, write."""
    results: list[StreamResult] = []
    for name in sys.argv[1:] or STREAMS:
        results.append(measure(name))
    show(Console(highlight=False, width=100), results)
    if not sys.argv[1:]:
        record: dict[str, Any] = {"machine": describe(), "streams": [asdict(r) for r in results]}
        RESULT.write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")
    else:
        for result in results:
            for kind, tally in {"clean": result.clean, **result.kinds}.items():
                print(kind, tally.missed)


if __name__ == "__main__":
    main()
