"""Whether a backtest decides as production does: the same streams on the real stack and in memory.

``make bench-parity`` plays bike, elec2 and twelve windows of flights on a stack of its own, one
request a row, labels one window late, a heal whenever the policy says so, nothing broken on
purpose; it replays them in memory with the same delay, prints what differs window by window, and
writes benchmarks/results/parity.json. Exit code 1 where anything does.

``python -m benchmarks.bench_parity --only flights`` makes the row of one stream anew; ``--pipeline
FOLDER --windows 20`` looks at another stream and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from perennial.backtest.replay import replay
from perennial.backtest.stream import Recorded
from perennial.datasets.source import read_source
from perennial.demo.display import Display
from perennial.demo.plan import Plan, make_plan
from perennial.demo.play import Demo
from perennial.local import ensure_up, stop
from perennial.loop.record import WindowCheck, all_checks
from perennial.registry import Declaration, HistoryEntry, read_history
from perennial.spec import load_spec
from perennial.store import layout, open_store

PROJECT = Path(__file__).resolve().parents[1]
RESULT = PROJECT / "benchmarks" / "results" / "parity.json"
SHARES, LOSSES = 1e-6, 1e-4
"""How far shares may lie apart, and losses as a share of themselves."""
_FLIGHTS = 12
STREAMS = ("bike", "elec2", "flights")


class Window(BaseModel):
    """What was decided of a window, and what came of it."""

    model_config = ConfigDict(frozen=True)

    action: str
    depth: str | None
    shares: tuple[float, ...]
    losses: tuple[float, ...]
    rows: int | None
    """That the candidate learned from; None: none was made."""
    passed: bool | None
    """The gate's verdict."""
    refusal: str | None


class Row(BaseModel):
    """One stream."""

    model_config = ConfigDict(frozen=True)

    stream: str
    windows: int
    corrections: int
    retrains: int
    refused: int
    differ: dict[str, str]
    """By window."""
    widest_share: float
    widest_loss: float
    """As a share of the loss."""
    stack_seconds: float
    memory_seconds: float


def windows_of(checks: list[WindowCheck], history: list[HistoryEntry]) -> dict[str, Window]:
    """Sum a record up, window by window."""
    made = {
        layout.checked_window(entry.cause): entry
        for entry in history
        if entry.cause is not None and entry.event in ("version.registered", "version.refused")
    }
    last = checks[-1].window if checks else None
    # In memory no window follows the last one, so nothing is made of it.
    made.pop(str(last), None)
    return {check.window: _window(check, made.get(check.window)) for check in checks}


def _window(check: WindowCheck, outcome: HistoryEntry | None) -> Window:
    decision = check.decision
    details: dict[str, Any] = {} if outcome is None else outcome.details
    refused = outcome is not None and outcome.event == "version.refused"
    return Window(
        action=decision.action,
        depth=decision.depth,
        shares=() if decision.mixture is None else tuple(decision.mixture.shares.tolist()),
        losses=tuple(loss.loss for loss in check.losses),
        rows=details.get("trained_rows"),
        passed=None if outcome is None else not refused,
        refusal=outcome.reason if refused and outcome is not None else None,
    )


def apart(one: Window, other: Window) -> str:
    """Say what differs between two windows; empty: nothing beyond the tolerance."""
    told = [
        f"{name}: {getattr(one, name)} on the stack, {getattr(other, name)} in memory"
        for name in ("action", "depth", "rows", "passed")
        if getattr(one, name) != getattr(other, name)
    ]
    if share_apart(one, other) > SHARES:
        told.append(f"shares: {one.shares} on the stack, {other.shares} in memory")
    if loss_apart(one, other) > LOSSES:
        told.append(f"losses: {one.losses} on the stack, {other.losses} in memory")
    return "; ".join(told)


def share_apart(one: Window, other: Window) -> float:
    """The widest difference between shares."""
    if len(one.shares) != len(other.shares):
        return math.inf
    return max((abs(a - b) for a, b in zip(one.shares, other.shares, strict=True)), default=0.0)


def loss_apart(one: Window, other: Window) -> float:
    """The widest difference between losses, as a share of them."""
    if len(one.losses) != len(other.losses):
        return math.inf
    pairs = zip(one.losses, other.losses, strict=True)
    return max((abs(a - b) / max(abs(a), 1e-12) for a, b in pairs), default=0.0)


def compare(plan: Plan, home: Path, directory: Path, console: Console) -> Row:
    """Play a plan on a stack of its own, and in memory."""
    plan = replace(plan, breaks=False)
    console.print(f"{plan.title}: {plan.cut.windows} windows on the stack")
    stack = ensure_up(directory, progress=console.print)
    try:
        store = open_store(stack.settings)
        with Display(console, plan.cut.windows) as display:
            played = Demo(plan, stack.settings, store, display).play()
        checks = list(all_checks(store, plan.spec.name))
        theirs = windows_of(checks, list(read_history(store, plan.spec.name)))
    finally:
        stop(directory)
    console.print(f"{plan.title}: the same in memory")
    spec = load_spec(plan.folder)
    recorded = Recorded(plan.frame, spec, plan.cut)
    run = replay(recorded, Declaration(spec=spec, folder=str(home.resolve())))
    mine = windows_of(list(run.checks), list(run.history))
    both = [(name, theirs[name], mine[name]) for name in sorted(theirs.keys() & mine.keys())]
    differ = {name: told for name, one, other in both if (told := apart(one, other))}
    differ |= dict.fromkeys(theirs.keys() ^ mine.keys(), "judged by one alone")
    return Row(
        stream=plan.title,
        windows=plan.cut.windows,
        corrections=run.heals("correct"),
        retrains=run.heals("retrain"),
        refused=len(run.refused),
        differ=differ,
        widest_share=max(share_apart(one, other) for _, one, other in both),
        widest_loss=max(loss_apart(one, other) for _, one, other in both),
        stack_seconds=round(played.seconds, 1),
        memory_seconds=round(run.seconds, 1),
    )


def plans(
    place: Path, chosen: list[str], windows: int | None, only: list[str]
) -> list[tuple[Plan, Path]]:
    """The streams that are there: plan and home of each."""
    if chosen:
        homes = [Path(name) for name in chosen]
        return [(make_plan(home, place / "demo", windows), home) for home in homes]
    found = []
    for name in only or STREAMS:
        home = PROJECT / "data" / name
        spec = load_spec(home)
        if spec.source.made_by is None and not (home / spec.source.uri).exists():
            continue
        if name == "flights":
            home = _twelve_windows(home, place)
        found.append(
            (make_plan(home, place / "demo", _FLIGHTS if name == "flights" else None), home)
        )
    return found


def _twelve_windows(home: Path, place: Path) -> Path:
    """The first rows of flights: a fifth of them trains version 1, twelve windows follow."""
    spec = load_spec(home)
    rows = read_source(spec, home)
    short = place / "flights"
    short.mkdir()
    rows.iloc[: len(rows) // 4].to_parquet(short / "rows.parquet", index=False)
    declared = json.loads(spec.model_dump_json(exclude_unset=True))
    declared["source"] = {"uri": "rows.parquet"}
    (short / "pipeline.yaml").write_text(yaml.safe_dump(declared), encoding="utf-8")
    return short


def main() -> None:
    """Compare each stream."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pipeline", action="append", default=[], help="A folder, or several.")
    parser.add_argument("--windows", type=int, default=None)
    parser.add_argument("--only", action="append", choices=STREAMS, default=[])
    asked = parser.parse_args()
    console = Console(highlight=False)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        found = plans(Path(place), asked.pipeline, asked.windows, asked.only)
        for number, (plan, home) in enumerate(found):
            rows.append(compare(plan, home, Path(place) / f"stack{number}", console))
            if not asked.pipeline:
                _write(rows[-1])
    table = Table(box=None)
    for column in (*Row.model_fields,):
        table.add_column(column.replace("_", " "))
    for row in rows:
        cells = {**row.model_dump(), "differ": len(row.differ)}
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in cells.values()))
    console.print(table)
    for row in rows:
        for window, told in row.differ.items():
            console.print(f"{row.stream} {window}: {told}", soft_wrap=True)
    if any(row.differ for row in rows):
        sys.exit(1)


def _write(row: Row) -> None:
    """Put a stream's row in the place of its last one."""
    known = json.loads(RESULT.read_text(encoding="utf-8"))["rows"] if RESULT.exists() else []
    kept = {old["stream"]: old for old in known} | {row.stream: row.model_dump()}
    rows = [kept[name] for name in STREAMS if name in kept]
    found = {"machine": describe(), "rows": rows}
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
