"""A thousand flow runs by one worker: what its memory does, and that no run is left over.

``make bench-thousand`` (RUNS=1000) starts the monitor again and again, a few at a time, prints the
table and writes benchmarks/results/thousand.json.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import describe
from perennial.demo.prefect_client import Deployments
from perennial.local import ensure_up, stop
from perennial.local.processes import stack_processes
from perennial.local.state import StackFiles

PROJECT = Path(__file__).resolve().parents[1]
RESULT = PROJECT / "benchmarks" / "results" / "thousand.json"
RUNS = int(os.environ.get("RUNS", "1000"))
AT_ONCE = 4
SAMPLES = 10
PARTS = {"worker": "worker start", "fork server": "worker.fork_server", "Prefect": "prefect_server"}


def run_some(api_url: str, count: int) -> list[str]:
    """Start runs one after another; give the type of the state that each ended in."""
    deployments = Deployments(api_url)
    ended = []
    for _ in range(count):
        state = deployments.wait(deployments.start("monitor/monitor", {}), timeout=120)
        ended.append(state["type"] if state is not None else "OPEN")
    deployments.close()
    return ended


def memory_mb(stack_id: str) -> dict[str, float]:
    """Unshared memory of each part's oldest process: of what it forked nothing."""
    found: dict[str, psutil.Process] = {}
    for process in stack_processes(stack_id):
        try:
            command, born = " ".join(process.cmdline()), process.create_time()
            for part, words in PARTS.items():
                if words in command and (part not in found or born < found[part].create_time()):
                    found[part] = process
        except psutil.Error:  # it has just ended
            continue
    return {part: process.memory_full_info().uss / 2**20 for part, process in found.items()}


def left_over(stack_id: str) -> int:
    """Children of the fork server that still live, some seconds after the last run."""
    time.sleep(5)
    servers = [
        p for p in stack_processes(stack_id) if PARTS["fork server"] in " ".join(p.cmdline())
    ]
    return len(servers) - 1


def main() -> None:
    """Measure, print, and write the figures."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        try:
            settings = ensure_up(directory, progress=console.print).settings
            state = StackFiles(directory).read_state()
            assert state is not None
            url, ended, memory = str(settings.prefect_address), [], []
            began = time.monotonic()
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for _ in track(range(SAMPLES), f"{RUNS} runs", console=console):
                    shares = [RUNS // SAMPLES // AT_ONCE] * AT_ONCE
                    for some in pool.map(lambda count: run_some(url, count), shares):
                        ended += some
                    memory.append(memory_mb(state.id))
            seconds = time.monotonic() - began
            open_runs = left_over(state.id)
        finally:
            stop(directory)
    result = {
        "machine": describe(),
        "runs": len(ended),
        "completed": ended.count("COMPLETED"),
        "processes_left": open_runs,
        "seconds": round(seconds),
        "memory_mb": {part: [round(sample[part]) for sample in memory] for part in PARTS},
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    table = Table("", f"{len(ended)} runs, {AT_ONCE} at a time", box=None)
    for key in ("completed", "processes_left", "seconds"):
        table.add_row(key.replace("_", " "), str(result[key]))
    for part in PARTS:
        table.add_row(
            f"memory, {part}", f"{memory[0][part]:.0f} MB, at the end {memory[-1][part]:.0f} MB"
        )
    console.print(table)


if __name__ == "__main__":
    main()
