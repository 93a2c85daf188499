"""``make test-faults``: seeded faults on the real stack; ROUNDS (30) and SEED say which."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.rounds import Outcome, plan, play, running_stack

MINUTE = 60.0


def main() -> int:
    """Play the rounds, print what came of each, and give 1 where one failed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the stack must not outlive its test
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    rounds = int(os.environ.get("ROUNDS", "30"))
    seed = int(os.environ.get("SEED") or random.randrange(1_000_000))
    away = float(os.environ.get("AWAY", MINUTE))
    console.print(f"{rounds} rounds with SEED={seed}, on a stack of their own")
    outcomes = []
    with tempfile.TemporaryDirectory() as place, running_stack(Path(place) / "stack") as stack:
        for planned in plan(rounds, seed):
            outcome = play(stack, planned, away)
            outcomes.append(outcome)
            console.print(f"{planned.number:3}/{rounds}  {line(outcome)}")
        if any(o.problems for o in outcomes) and os.environ.get("KEEP_LOGS"):
            keep(stack.directory, Path(os.environ["KEEP_LOGS"]))
    console.print(table(outcomes))
    failed = [o for o in outcomes if o.problems]
    console.print(f"{len(failed)} of {rounds} rounds failed" if failed else "all converged")
    return 1 if failed else 0


def line(outcome: Outcome) -> str:
    """One round in words."""
    planned = outcome.planned
    what = f"{planned.harm:24} {planned.phase:16}"
    if outcome.skipped:
        return f"{what} skipped: {outcome.skipped}"
    result = "; ".join(outcome.problems) or "converged"
    return f"{what} {outcome.seconds:6.1f} s  {result}"


def table(outcomes: list[Outcome]) -> Table:
    """Rounds and seconds by harm."""
    shown = Table("harm", "rounds", "converged", "skipped", "longest", box=None)
    for harm in dict.fromkeys(o.planned.harm for o in outcomes):
        mine = [o for o in outcomes if o.planned.harm == harm]
        played = [o for o in mine if not o.skipped]
        shown.add_row(
            harm,
            str(len(mine)),
            str(sum(not o.problems for o in played)),
            str(len(mine) - len(played)),
            f"{max((o.seconds for o in played), default=0):.0f} s",
        )
    return shown


def keep(directory: Path, place: Path) -> None:
    """Copy the logs of a stack in which a round failed."""
    import shutil

    shutil.copytree(directory / "logs", place, dirs_exist_ok=True)


if __name__ == "__main__":
    sys.exit(main())
