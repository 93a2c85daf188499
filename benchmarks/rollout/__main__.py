"""``make bench-rollout``: prints both parts, writes benchmarks/results/rollout.json.

``--only live`` or ``--only simulation`` measures one part and leaves the other's figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from benchmarks.rollout.live import Verdict, play_all
from benchmarks.rollout.simulation import simulate

RESULT = Path(__file__).resolve().parents[1] / "results" / "rollout.json"


def live(console: Console) -> dict[str, Any]:
    """Try challengers on the real stack; print a line for each."""
    verdicts = play_all(lambda verdict: console.print(_line(verdict)))
    table = Table("stream", "challenger", "verdict", "in stage", "requests", box=None)
    table.add_column("it answered")
    table.add_column("failed")
    for v in verdicts:
        cells = f"{v.requests:,}", f"{v.answered:.1%}", str(v.failed)
        table.add_row(v.stream, v.challenger, v.verdict, v.stage, *cells)
    console.print(table)
    return {"challengers": [asdict(verdict) for verdict in verdicts]}


def _line(verdict: Verdict) -> str:
    return (
        f"{verdict.stream}, {verdict.challenger}: {verdict.verdict} after {verdict.requests:,} "
        f"requests and {verdict.seconds:.0f} s: {verdict.reason}"
    )


PARTS = {"simulation": simulate, "live": live}


def main() -> None:
    """Measure, print, write; exit code 1 where a challenger got another verdict than it should."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="measure this part alone")
    only = parser.parse_args().only
    console = Console(highlight=False, width=120)
    result = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    for name in [only] if only else PARTS:
        result[name] = {"machine": describe(), **PARTS[name](console)}
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    played = result.get("live", {}).get("challengers", ())
    if any(v["verdict"] != v["wanted"] or v["failed"] for v in played):
        sys.exit(1)


if __name__ == "__main__":
    main()
