"""What the policy is worth on the past of real streams, and that it leaves a stream alone which
does not change.

``make bench-backtest`` replays each stream with defaults, 50 windows after the first 20%, labels 0,
1, 5 and 10 windows late (``--delays 0,5``), by five seeds and beginnings of the windows
(``--seeds 20``: as many; see `perennial.backtest.compare.repeat`). It prints the tables, and writes
each row to benchmarks/results/backtest.json as soon as it is made. ``--only bike`` makes the rows
of one stream, and may be repeated; ``--resume`` leaves out those that the same commit of the
library has made. Versions take over at once; ``--stages`` makes further rows, of the real streams
with labels at the end of their window, with the stages of a rollout as they are declared.
``--yardsticks arf,srp,cusum`` has these beside the others; they need River.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

from benchmarks.backtest_streams import PROJECT, Stream, streams
from benchmarks.machine import describe
from perennial.backtest.compare import repeat
from perennial.backtest.policies import POLICIES, YARDSTICKS, PolicyName, YardstickName
from perennial.backtest.result import Backtest, CostCurve
from perennial.backtest.spread import PolicySpread, Repeated, Spread
from perennial.errors import TrainingError

RESULT = PROJECT / "benchmarks" / "results" / "backtest.json"
DELAYS = (0, 1, 5, 10)
_SIMPLE = ("never", "every", "periodic-5")
_MIDDLE = slice(10, -10)
"""Of the cost sweep: without its first and last quarter, where only loss or only compute counts."""


class Row(BaseModel):
    """One stream and one delay of its labels, over all runs."""

    model_config = ConfigDict(frozen=True)

    stream: str
    control: bool
    metric: str
    rows: int
    label_delay_windows: int
    at_once: bool
    """Whether versions took over as soon as their gate had passed them; else by the stages that the
    pipeline declares."""
    seeds: int
    commit: str
    """The newest one that changed the library or a declaration; with a + where more was changed."""
    policies: dict[str, PolicySpread]
    worse_than_best: Spread
    """By which share of its score the policy's is worse than the best of never, every and
    periodic-5; below 0 it is better."""
    worse_than_never: Spread
    """The same of never alone."""
    worst_three: Spread
    """The policy's mean row loss as a share of never's, over those three windows in a row in which
    that is the most."""
    worst_twenty: Spread
    """The same over twenty windows in a row."""
    refused: Spread
    """Retrains that were asked for and did not take over."""
    cost_wins: Spread
    """Share of the middle of the cost sweep in which it costs no more than hindsight."""
    left_out: tuple[str, ...]
    """Runs that could not begin, and why."""

    @property
    def key(self) -> tuple[str, int, bool]:
        """What a row is told by."""
        return self.stream, self.label_delay_windows, self.at_once


def summarise(found: Repeated, stream: Stream, seeds: int, commit: str) -> Row:
    """Take the runs of a stream together."""

    def over(figure: Callable[[Backtest], float]) -> Spread:
        spread = Spread.of(figure(run) for run in found.runs)
        assert spread is not None
        return spread

    first = found.runs[0]
    return Row(
        stream=stream.name,
        control=stream.control,
        metric=first.metric,
        rows=first.rows,
        label_delay_windows=first.label_delay_windows,
        at_once=first.at_once,
        seeds=seeds,
        commit=commit,
        policies=found.policies,
        worse_than_best=over(lambda run: worse_than(run, _SIMPLE)),
        worse_than_never=over(lambda run: worse_than(run, ["never"])),
        worst_three=over(lambda run: worst_span(run, 3)),
        worst_twenty=over(lambda run: worst_span(run, 20)),
        refused=over(_refused),
        cost_wins=over(lambda run: _cost_wins(run.cost)),
        left_out=found.refused,
    )


def worse_than(found: Backtest, others: Iterable[str]) -> float:
    """Say by which share of the best of others' scores the policy's is worse."""
    sign = 1 if found.greater_is_better else -1
    best = max(sign * found.policies[name].score for name in others)
    return (best - sign * found.policies["perennial"].score) / abs(best)


def worst_span(found: Backtest, windows: int) -> float:
    """Hold the policy's loss against never's over windows in a row, and give the worst share."""
    rows = np.array(found.labelled, dtype=float)
    mine, never = (
        np.convolve(
            rows * [loss or 0.0 for loss in found.policies[name].window_losses],
            np.ones(min(windows, len(rows))),
            mode="valid",
        )
        for name in ("perennial", "never")
    )
    # Where never is without a fault, one counts as one in these rows.
    least = 1.0 if "accuracy" in found.metric else 1e-12
    return float(np.max(mine / np.maximum(never, least)))


def _cost_wins(cost: CostCurve | None) -> float:
    assert cost is not None
    mine, best = np.array(cost.perennial)[_MIDDLE], np.array(cost.hindsight)[_MIDDLE]
    return float(np.mean(mine <= best))


def _refused(found: Backtest) -> int:
    mine = found.policies["perennial"]
    asked = sum(decision.decision == "retrain" for decision in mine.decisions[:-1])
    return asked - mine.retrains


def tables(rows: Sequence[Row]) -> str:
    """Write the figures as Markdown: one table for each delay of the labels, and one by stages."""
    parts = []
    kinds = sorted({(not row.at_once, row.label_delay_windows) for row in rows})
    for by_stages, late in kinds:
        first = f"labels {late} windows late" + (", by stages" if by_stages else "")
        header = [first, *_SIMPLE, "hindsight", *_COLUMNS]
        lines = [header, ["---", *["---:"] * (len(header) - 1)]]
        shown = [
            row for row in rows if (not row.at_once, row.label_delay_windows) == (by_stages, late)
        ]
        lines += [_cells(row) for row in shown]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts)


_COLUMNS = (
    *("Perennial", "recovered", "worse than best", "worse than never"),
    *("worst 3", "worst 20", "corrections", "retrains", "CPU", "cost"),
)


def _cells(row: Row) -> list[str]:
    mine = row.policies["perennial"]
    retrains = f"{mine.retrains.mean:.3g}"
    if row.refused.mean:
        retrains += f" ({row.refused.mean:.3g})"
    return [
        f"{row.stream}, {row.metric}",
        *(f"{row.policies[name].score.mean:.4g}" for name in (*_SIMPLE, "hindsight")),
        _spread(mine.score, ".4g"),
        "" if row.control else _spread(mine.recovered, ".2f"),
        *(_spread(share, "+.1%") for share in (row.worse_than_best, row.worse_than_never)),
        *(f"{share.most:.2f}" for share in (row.worst_three, row.worst_twenty)),
        f"{mine.corrections.mean:.3g}",
        retrains,
        _spread(mine.cpu_share, ".2f"),
        f"{row.cost_wins.mean:.0%}",
    ]


def _spread(spread: Spread | None, form: str) -> str:
    if spread is None:
        return ""
    return f"{spread.mean:{form}} ({spread.least:{form}} to {spread.most:{form}})"


def read_rows() -> list[Row]:
    """Read the rows that were made before; those of an older form are none."""
    try:
        return [Row.model_validate(row) for row in json.loads(RESULT.read_text())["rows"]]
    except (FileNotFoundError, KeyError, ValidationError):
        return []


def write_row(row: Row, order: Sequence[str]) -> None:
    """Put a row in its place among those that there are: all of them take hours."""
    rows = {one.key: one for one in read_rows() if one.stream in order}
    rows[row.key] = row
    by_delay = sorted(
        rows.values(), key=lambda one: (not one.at_once, one.key[1], order.index(one.stream))
    )
    written = [one.model_dump(mode="json") for one in by_delay]
    result = {"machine": describe(), "rows": written}
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def commit_of_library() -> str:
    """Name the commit that the figures are of."""

    def git(*words: str) -> str:
        asked = ["git", *words, "--", "perennial", "data"]
        return subprocess.run(
            asked, cwd=PROJECT, capture_output=True, text=True, check=True
        ).stdout.strip()

    return git("log", "-1", "--format=%h") + ("+" if git("status", "--porcelain") else "")


def main() -> None:
    """Make the rows."""
    console = Console(highlight=False)
    found, absent = streams()
    names = [stream.name for stream in found]
    asked = _arguments([*names, *absent])
    for name in absent:
        if not asked.only or name in asked.only:
            console.print(f"{name} is left out: its rows are not there")
    chosen = [stream for stream in found if not asked.only or stream.name in asked.only]
    todo = [(late, stream, True) for late, stream in itertools.product(asked.delays, chosen)]
    if asked.stages:
        todo += [(0, stream, False) for stream in chosen if not stream.control]
    policies = (*POLICIES, *asked.yardsticks)
    commit = commit_of_library()
    for late, stream, at_once in todo:
        if asked.resume and _is_made((stream.name, late, at_once), commit, asked.seeds, policies):
            continue
        row = _replay(console, stream, late, asked.seeds, policies, commit, at_once=at_once)
        if row is not None:
            write_row(row, names)
            console.print(" | ".join(_cells(row)), soft_wrap=True)
    print(tables([row for row in read_rows() if not asked.only or row.stream in asked.only]))


def _arguments(names: Sequence[str]) -> argparse.Namespace:
    def numbers(text: str) -> list[int]:
        return [int(part) for part in text.split(",")]

    def yardsticks(text: str) -> list[YardstickName]:
        asked = text.split(",")
        if set(asked) - set(YARDSTICKS):
            raise argparse.ArgumentTypeError(f"they are {', '.join(YARDSTICKS)}")
        return [name for name in YARDSTICKS if name in asked]

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=names, metavar="STREAM")
    parser.add_argument("--delays", type=numbers, default=DELAYS)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--stages", action="store_true")
    parser.add_argument("--yardsticks", type=yardsticks, default=())
    return parser.parse_args()


def _is_made(key: tuple[str, int, bool], commit: str, seeds: int, policies: Sequence[str]) -> bool:
    return not commit.endswith("+") and any(
        row.key == key
        and (row.commit, row.seeds, set(row.policies)) == (commit, seeds, set(policies))
        for row in read_rows()
    )


def _replay(
    console: Console,
    stream: Stream,
    late: int,
    seeds: int,
    policies: Sequence[PolicyName | YardstickName],
    commit: str,
    *,
    at_once: bool,
) -> Row | None:
    """Replay one stream; nothing where its gate lets no first version in, as in production."""
    what = f"{stream.name}, labels {late} windows late"
    with console.status(what) as status:
        try:
            found = repeat(
                stream.read(),
                stream.spec,
                seeds=seeds,
                policies=policies,
                label_delay_windows=late,
                at_once=at_once,
                progress=lambda done, total: status.update(f"{what}: {done} of {total}"),
            )
        except TrainingError as error:
            console.print(f"{what}: {error}", soft_wrap=True)
            return None
    return summarise(found, stream, seeds, commit)


if __name__ == "__main__":
    main()
