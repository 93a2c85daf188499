"""How fast the loop turns: from a flow run's creation to its first line, and what a heal waits for.

``make bench-loop`` starts a stack with each kind of worker in turn, then plays the demo on bike
(WINDOWS: fewer of its windows), prints the table and writes benchmarks/results/loop.json.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from perennial.demo.prefect_client import Deployments
from perennial.demo.run import run_demo
from perennial.demo.summary import Heal, Summary
from perennial.local import ensure_up, stop
from perennial.local.state import WorkerKind
from perennial.settings import Settings

PROJECT = Path(__file__).resolve().parents[1]
RESULT = PROJECT / "benchmarks" / "results" / "loop.json"
RUNS = 20
WARM_UPS = 3
GOALS = {"fork": 0.6, "process": 3.0, "share": 0.2}
FIRST_LINE = "Beginning flow run"


class Api:
    """What Prefect remembers of runs."""

    def __init__(self, url: str) -> None:
        self._url = url

    def first_line(self, run: str) -> datetime:
        """When the engine, in the run's own process, wrote that the flow begins."""
        asked = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for line in self.ask("/logs/filter", asked):
                if line["message"].startswith(FIRST_LINE):
                    return datetime.fromisoformat(line["timestamp"])
            time.sleep(0.2)
        raise TimeoutError(f"run {run} has no first line")

    def ask(self, path: str, body: Any = None) -> Any:
        """POST a body, or GET; patiently: SQLite may be locked."""
        method = "GET" if body is None else "POST"
        for _ in range(20):
            answer = httpx.request(method, self._url + path, json=body, timeout=30, trust_env=False)
            if answer.status_code < 500:
                break
            time.sleep(0.5)
        return answer.raise_for_status().json()


def start_seconds(worker: WorkerKind, console: Console) -> list[float]:
    """Start the monitor, which has nothing to do, again and again on a stack of its own."""
    seconds = []
    with tempfile.TemporaryDirectory() as place:
        try:
            settings = ensure_up(Path(place), worker=worker, progress=console.print).settings
            api, deployments = Api(str(settings.prefect_address)), _deployments(settings)
            for number in range(WARM_UPS + RUNS):
                time.sleep(random.random())  # the worker's poll must not fall into step
                run = deployments.start("monitor/monitor", {})
                deployments.wait(run, timeout=120)
                if number >= WARM_UPS:
                    created = datetime.fromisoformat(api.ask(f"/flow_runs/{run}")["created"])
                    seconds.append((api.first_line(run) - created).total_seconds())
            deployments.close()
        finally:
            stop(Path(place))
    return seconds


def _deployments(settings: Settings) -> Deployments:
    return Deployments(str(settings.prefect_address))


def heal_shares(windows: int | None, console: Console) -> tuple[list[dict[str, float]], Summary]:
    """Play the demo; give for each heal where its seconds went."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        try:
            summary, _ = run_demo(
                PROJECT / "data" / "bike", directory, windows=windows, keep=True, console=console
            )
            api = Api(str(Settings.load(directory).prefect_address))
            runs = api.ask("/flow_runs/filter", {"sort": "START_TIME_DESC"})
            return [_phases(api, heal, runs) for heal in summary.heals], summary
        finally:
            stop(directory)


def _phases(api: Api, heal: Heal, runs: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of a heal, from its check to the takeover.

    Work is what tasks of its retrain and rollout did, each second once; the rest is orchestration,
    start-up and waiting.
    """
    begin, end = heal.confirmed_at, heal.live_at
    spans, created, first = [], end, end
    for run in runs:
        started = run["start_time"] and datetime.fromisoformat(run["start_time"])
        if not started or not begin <= started <= end:
            continue
        if not run["name"].startswith(("retrain", "rollout")):
            continue
        if run["name"].startswith("retrain"):
            created = min(created, datetime.fromisoformat(run["created"]))
            first = min(first, started)
        tasks = {"flow_runs": {"id": {"any_": [run["id"]]}}}
        for task in api.ask("/task_runs/filter", tasks):
            if task["start_time"] and task["end_time"]:
                low, high = (datetime.fromisoformat(task[k]) for k in ("start_time", "end_time"))
                spans.append((max(low, begin), min(high, end)))
    wall = (end - begin).total_seconds()
    return {
        "wall": wall,
        "check_to_created": (created - begin).total_seconds(),
        "created_to_first_line": (first - created).total_seconds(),
        "work": covered(spans),
        "share": 1 - covered(spans) / wall,
    }


def covered(spans: Iterable[tuple[datetime, datetime]]) -> float:
    """Seconds that at least one of the spans covers."""
    total, until = 0.0, None
    for low, high in sorted(spans):
        begin = low if until is None else max(low, until)
        if high > begin:
            total += (high - begin).total_seconds()
            until = high
    return total


def main() -> None:
    """Measure, print, and write the figures."""
    console = Console(highlight=False)
    windows = int(os.environ["WINDOWS"]) if "WINDOWS" in os.environ else None
    kinds: tuple[WorkerKind, ...] = ("fork", "process")
    starts = {kind: start_seconds(kind, console) for kind in kinds}
    heals, summary = heal_shares(windows, console)
    medians = {key: statistics.median(heal[key] for heal in heals) for key in heals[0]}
    table = Table("", "median", "goal", box=None)
    for kind, seconds in starts.items():
        what = f"created to first line, {kind} worker"
        table.add_row(what, f"{statistics.median(seconds):.2f} s", f"{GOALS[kind]} s")
    for key in ("wall", "check_to_created", "created_to_first_line", "work"):
        table.add_row(f"heal: {key.replace('_', ' ')}", f"{medians[key]:.1f} s", "")
    table.add_row("heal: not work", f"{medians['share']:.0%}", f"{GOALS['share']:.0%}")
    console.print(table)
    result = {
        "machine": describe(),
        "created_to_first_line": {
            kind: {
                "median": round(statistics.median(s), 3),
                "worst": round(max(s), 3),
                "runs": len(s),
            }
            for kind, s in starts.items()
        },
        "heals": {"count": len(heals), "windows": summary.windows}
        | {key: round(value, 3) for key, value in medians.items()},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
