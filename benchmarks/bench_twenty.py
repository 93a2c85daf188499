"""Twenty pipelines on one machine, each looked at every minute, while requests come to all of them.

``make bench-twenty`` (MINUTES=10, PIPELINES=20) counts runs that began late and errors of a locked
database, follows the memory of the whole stack and of each part, prints the table and writes
benchmarks/results/twenty.json.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.bench_loop import Api
from benchmarks.machine import describe
from perennial.demo.client import Client
from perennial.demo.prefect_client import Deployments
from perennial.local import ensure_up, stop
from perennial.local.processes import stack_processes
from perennial.local.state import StackFiles, StackState
from perennial.registry import declare, read_state
from perennial.settings import Settings
from perennial.store import open_store

PROJECT = Path(__file__).resolve().parents[1]
RESULT = PROJECT / "benchmarks" / "results" / "twenty.json"
PIPELINES = int(os.environ.get("PIPELINES", "20"))
ROWS_A_SECOND = 1
WINDOW = 50
LATE = 30.0
SAMPLE = 5.0
LOCKED = "database is locked"

DECLARATION = f"""\
name: {{name}}
task: regression
source: {{{{uri: data.csv}}}}
target: y
model: {{{{estimators: [linear]}}}}
monitor: {{{{schedule: {{schedule}}, window: {WINDOW} rows}}}}
rollout: {{{{shadow: null, canary: null, bake: null}}}}
"""


def rows(count: int, seed: int) -> pd.DataFrame:
    """A world that does not change: what is measured is the looking, not the healing."""
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=count), rng.choice(["a", "b"], count)
    return pd.DataFrame({"x": x, "c": c, "y": 3 * x + rng.normal(size=count)})


def raise_pipelines(settings: Settings, home: Path, console: Console) -> list[str]:
    """Declare the pipelines, have a first version of each answer, and then begin the schedules."""
    store, deployments = open_store(settings), Deployments(str(settings.prefect_address))
    names = [f"pipeline-{number:02}" for number in range(1, PIPELINES + 1)]
    for number, name in enumerate(track(names, "first versions", console=console)):
        folder = home / name
        folder.mkdir(parents=True)
        (folder / "pipeline.yaml").write_text(DECLARATION.format(name=name, schedule="null"))
        rows(500, number).to_csv(folder / "data.csv", index=False)
        declare(store, folder)
        run = deployments.start("retrain/retrain", {"pipeline": name, "reason": "the first"})
        deployments.wait(run, timeout=180)
        deadline = time.monotonic() + 120
        while read_state(store, name).state.champion is None and time.monotonic() < deadline:
            time.sleep(0.2)
    for name in track(names, "schedules", console=console):
        every_minute = DECLARATION.format(name=name, schedule='"* * * * *"')
        (home / name / "pipeline.yaml").write_text(every_minute)
        run = deployments.start("monitor/monitor", {"pipeline": name})
        deployments.wait(run, timeout=60)
    deployments.close()
    return names


@contextmanager
def asked(settings: Settings, names: list[str]) -> Iterator[None]:
    """A row a second to each pipeline, with its truth, while the block lasts."""
    over = threading.Event()

    def ask(name: str, seed: int) -> None:
        client, frame = Client(str(settings.server_url), name), rows(5000, seed)
        for number, row in enumerate(frame.to_dict("records")):
            if over.wait(1 / ROWS_A_SECOND):
                break
            client.predict(f"{name}-{number}", {"x": row["x"], "c": row["c"]})
            client.feedback([(f"{name}-{number}", row["y"])])
        client.close()

    threads = [
        threading.Thread(target=ask, args=(name, 1000 + number))
        for number, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def memory_mb(stack_id: str) -> float:
    """Proportional memory of all processes of the stack: what forks share counts once."""
    total = 0
    for process in stack_processes(stack_id):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it has just ended
            continue
    return total / 2**20


def lasting(state: StackState) -> dict[str, list[psutil.Process]]:
    """The processes of each part of the stack, before any run is forked."""
    roots = {p.title: psutil.Process(p.process.pid) for p in state.parts if p.process is not None}
    return {part: [root, *root.children(recursive=True)] for part, root in roots.items()}


def resident_mb(processes: list[psutil.Process]) -> float:
    """Resident memory of processes that have not ended."""
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 2**20


def lateness(api: Api, since: datetime, until: datetime) -> tuple[list[float], dict[str, int]]:
    """Seconds by which each scheduled run began late, and in what states they are."""
    seconds: list[float] = []
    states: dict[str, int] = {}
    after, offset = since.isoformat(), 0
    while True:
        body = {
            "flow_runs": {
                "expected_start_time": {"after_": after, "before_": until.isoformat()},
                "name": {"like_": "monitor"},
            },
            "offset": offset,
        }
        page: list[dict[str, Any]] = api.ask("/flow_runs/filter", body)
        for run in page:
            if not run["auto_scheduled"]:
                continue
            states[run["state_name"]] = states.get(run["state_name"], 0) + 1
            expected = datetime.fromisoformat(run["expected_start_time"])
            began = run["start_time"]
            start = datetime.fromisoformat(began) if began else datetime.now(UTC)
            seconds.append((start - expected).total_seconds())
        if not page:
            return seconds, states
        offset += len(page)


def main() -> None:
    """Measure, print, and write the figures."""
    console = Console(highlight=False)
    minutes = float(os.environ.get("MINUTES", "10"))
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "stack"
        try:
            settings = ensure_up(directory, progress=console.print).settings
            names = raise_pipelines(settings, Path(place) / "pipelines", console)
            state = StackFiles(directory).read_state()
            assert state is not None
            memory: list[float] = []
            parts = lasting(state)
            by_part: dict[str, list[float]] = {part: [] for part in parts}
            time.sleep(60 - time.time() % 60)
            since = datetime.now(UTC)
            locked = _locked(directory)
            with asked(settings, names):
                samples = int(minutes * 60 / SAMPLE)
                for _ in track(range(samples), f"{minutes:g} minutes", console=console):
                    memory.append(memory_mb(state.id))
                    for part, processes in parts.items():
                        by_part[part].append(resident_mb(processes))
                    time.sleep(SAMPLE)
            until = datetime.now(UTC)
            time.sleep(LATE)
            late, states = lateness(Api(str(settings.prefect_address)), since, until)
            locked = _locked(directory) - locked
        finally:
            stop(directory)
    _tell(console, minutes, late, states, memory, by_part, locked)


def _locked(directory: Path) -> int:
    logs = (log.read_text(errors="replace") for log in (directory / "logs").glob("*.log*"))
    return sum(text.count(LOCKED) for text in logs)


def _tell(
    console: Console,
    minutes: float,
    late: list[float],
    states: dict[str, int],
    memory: list[float],
    by_part: dict[str, list[float]],
    locked: int,
) -> None:
    part = max(1, len(memory) // 5)
    result = {
        "machine": describe(),
        "pipelines": PIPELINES,
        "minutes": minutes,
        "runs": len(late),
        "states": states,
        "late_over_30_s": sum(s > LATE for s in late),
        "seconds_late": {
            "median": round(statistics.median(late), 2),
            "worst": round(max(late), 2),
        },
        "locked_database_errors": locked,
        "memory_mb": {
            "lowest_in_first_fifth": round(min(memory[:part])),
            "lowest_in_last_fifth": round(min(memory[-part:])),
            "highest_in_first_fifth": round(max(memory[:part])),
            "highest_in_last_fifth": round(max(memory[-part:])),
            "every_5_s": [round(mb) for mb in memory],
        },
        "resident_mb": {part: [round(mb) for mb in resident] for part, resident in by_part.items()},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    table = Table("", f"{PIPELINES} pipelines, {minutes:g} minutes", box=None)
    for key in ("runs", "late_over_30_s", "seconds_late", "locked_database_errors"):
        table.add_row(key.replace("_", " "), str(result[key]))
    for end, some in (("first", memory[:part]), ("last", memory[-part:])):
        table.add_row(f"memory, {end} fifth", f"{min(some):.0f} to {max(some):.0f} MB")
    for name, resident in by_part.items():
        first, last = statistics.median(resident[:part]), statistics.median(resident[-part:])
        table.add_row(f"resident, {name}", f"{first:.0f} MB, in the last fifth {last:.0f} MB")
    console.print(table)


if __name__ == "__main__":
    main()
