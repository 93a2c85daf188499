"""The figures of the loop: the demo on bike, and the phases of its heals.

``make bench-demo`` prints the table, and writes benchmarks/results/demo.json and docs/bike.png.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from perennial.demo.run import final_table, run_demo
from perennial.demo.summary import Summary

PROJECT = Path(__file__).resolve().parents[1]
RESULT = PROJECT / "benchmarks" / "results" / "demo.json"
PICTURE = PROJECT / "docs" / "bike.png"


def heal_seconds(summary: Summary) -> dict[str, float]:
    """Median seconds of each phase over all heals."""
    phases = [heal.seconds.model_dump() for heal in summary.heals]
    return {name: statistics.median(p[name] for p in phases) for name in phases[0]}


def main() -> None:
    """Run the demo on a stack of its own."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory() as place:
        summary, files = run_demo(
            PROJECT / "data" / "bike", Path(place), windows=None, keep=False, console=console
        )
        shutil.copyfile(files.png, PICTURE)
    heals = heal_seconds(summary)
    table = Table(show_header=False, box=None)
    for what, figure in final_table(summary):
        table.add_row(what, figure)
    for phase, seconds in heals.items():
        table.add_row(f"heal, median seconds: {phase}", f"{seconds:.1f}")
    console.print(table)
    result = {
        "machine": describe(),
        "summary": summary.model_dump(mode="json"),
        "median_heal_seconds": heals,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
