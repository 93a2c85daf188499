"""Replay policies over a recorded stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from perennial.cli.common import app, pipeline_folder, plain_console
from perennial.errors import SpecError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from perennial.backtest.policies import PolicyName, YardstickName
    from perennial.backtest.result import Backtest
    from perennial.backtest.spread import Repeated, Spread
    from perennial.spec import PipelineSpec


class Cuts(NamedTuple):
    """How a stream is cut."""

    windows: int
    train_fraction: float
    label_delay_windows: int


@app.command()
def backtest(
    pipeline: Annotated[
        str, typer.Argument(help="Name of the pipeline, or its folder.", show_default=False)
    ],
    windows: Annotated[
        int, typer.Option(min=1, help="Equal windows that follow the first fraction.")
    ] = 50,
    train_fraction: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the rows that trains version 1.")
    ] = 0.2,
    policies: Annotated[
        str,
        typer.Option(
            help="Which to compare, with commas between them. Also: arf, srp (forests that learn "
            "from each row) and cusum (retrained when the loss signals), which need River."
        ),
    ] = "perennial,never,every,periodic-5,hindsight",
    label_delay_windows: Annotated[
        int, typer.Option(min=0, help="Windows by which labels come after their window's end.")
    ] = 0,
    at_once: Annotated[
        bool,
        typer.Option(
            "--at-once",
            help="Let versions take over as soon as their gate has passed them: what the declared "
            "stages of the rollout cost is the difference.",
        ),
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of all fits. Left out: as pipeline.yaml says.")
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            min=1,
            help="Runs, each with the next seed and with windows that begin a part of a window "
            "earlier: mean, least and most of them are shown.",
        ),
    ] = 1,
    json: Annotated[
        Path | None, typer.Option(help="Write all figures and decisions to this file; - prints.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write a page with charts and decisions, of the first run; it opens offline."
        ),
    ] = None,
) -> None:
    """Ask what each policy would have made of a stream's past, before trusting any of them.

    The first fraction trains version 1; the rest is cut into equal windows. Labels arrive at the
    end of their window, or later; at each window's end the policy decides, with nothing from the
    future, and the next window is answered by the model then standing. What decides, trains,
    judges and takes over is the very code of production, the declared stages of the rollout too: a
    version takes over once they have seen the rows and labels that they ask for. Against it stand a
    model that is never retrained, ones that are retrained at every and at every fifth window, and
    the best moments found afterwards.

    One run is one draw: --seeds says how far its figures are luck.
    """
    from rich.markup import escape

    from perennial.backtest.stream import seeded
    from perennial.datasets.source import read_source
    from perennial.spec import load_spec, unusable
    from perennial.writable import check_file

    names = _policies(policies)
    quiet = json is not None and str(json) == "-"
    for option, file in (("--json", None if quiet else json), ("--report", report)):
        if file is not None:
            check_file(file, option)
    folder = pipeline_folder(pipeline)
    spec = load_spec(folder)
    if seed is not None:
        spec = seeded(spec, seed)
    console = plain_console(stderr=quiet)
    if (lack := unusable(spec.policy)) is not None:
        console.print(lack)
    with console.status(escape(f"reading {spec.source.uri}")):
        frame = read_source(spec, folder)
    cuts = Cuts(windows, train_fraction, label_delay_windows)
    repeated = _run(console, frame, spec, names, cuts, folder, seeds=seeds, at_once=at_once)
    found = repeated.runs[0]
    if report is not None:
        from perennial.backtest.report import render_backtest

        report.write_text(render_backtest(found), encoding="utf-8")
    if json is not None:
        text = (found if seeds == 1 else repeated).model_dump_json(indent=2)
        if quiet:
            typer.echo(text)
            return
        json.write_text(text + "\n", encoding="utf-8")
    if seeds == 1:
        _print(console, found)
    else:
        _print_repeated(console, repeated)
    for file in (json, report):
        if file is not None:
            console.print(f"  {file}", soft_wrap=True)


def _policies(text: str) -> list[PolicyName | YardstickName]:
    from perennial.backtest.policies import POLICIES, YARDSTICKS
    from perennial.backtest.yardsticks import check_installed

    known = (*POLICIES, *YARDSTICKS)
    asked = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in asked if name not in known]
    if unknown or not asked:
        raise SpecError(
            f"--policies: {', '.join(unknown) or 'nothing'} is none of {', '.join(known)}"
        )
    check_installed(asked)
    return [name for name in known if name in asked]


def _run(
    console: Console,
    frame: pd.DataFrame,
    spec: PipelineSpec,
    names: list[PolicyName | YardstickName],
    cuts: Cuts,
    folder: Path,
    *,
    seeds: int,
    at_once: bool,
) -> Repeated:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from perennial.backtest.compare import repeat

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task("fits and replay", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return repeat(
            frame,
            spec,
            seeds=seeds,
            policies=names,
            windows=cuts.windows,
            train_fraction=cuts.train_fraction,
            label_delay_windows=cuts.label_delay_windows,
            at_once=at_once,
            folder=folder,
            progress=progress,
        )


def _print(console: Console, found: Backtest) -> None:
    from rich.table import Table

    console.print(_title(found), soft_wrap=True)
    table = Table(box=None)
    for column in ("policy", found.metric, "recovered", "corrections", "retrains", "fits", "CPU s"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for name, result in found.policies.items():
        corrections = result.heals["correct"]
        recovered = found.policies[name].recovered
        table.add_row(
            name,
            f"{result.score:.4g}",
            "" if recovered is None else f"{recovered:.2f}",
            str(corrections),
            str(result.retrains),
            str(result.fits),
            f"{result.cpu_seconds:.1f}",
        )
    console.print(table)
    for sentence in (found.caveat, found.about_hindsight):
        if sentence:
            console.print(f"{sentence[0].upper()}{sentence[1:]}.", soft_wrap=True)


def _print_repeated(console: Console, repeated: Repeated) -> None:
    from rich.table import Table

    found, count = repeated.runs[0], len(repeated.runs)
    console.print(_title(found), soft_wrap=True)
    console.print(
        f"Mean of {count} runs, and from the least to the most of them; their seeds differ, and "
        "where their windows begin.",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False)  # 80 columns hold it so
    for column in ("policy", found.metric, "recovered", "CPU of every", "corrections", "retrains"):
        table.add_column(column, justify="left" if column == "policy" else "right")
    for name, result in repeated.policies.items():
        table.add_row(
            name,
            _cell(result.score, ".4g", count),
            _cell(result.recovered, ".2f", count),
            _cell(result.cpu_share, ".2f", count),
            _cell(result.corrections, ".3g", count),
            _cell(result.retrains, ".3g", count),
        )
    console.print(table)
    gaining = sum(not run.caveat for run in repeated.runs)
    if gaining < count and found.policies.keys() >= {"never", "every"}:
        console.print(
            f"In {count - gaining} of {count} runs retraining at every window gains nothing, or no "
            "more than chance may give: there nothing is to be recovered.",
            soft_wrap=True,
        )
    for sentence in repeated.refused:
        console.print(f"Left out, {sentence}", soft_wrap=True)


def _cell(spread: Spread | None, form: str, runs: int) -> str:
    if spread is None:
        return ""
    some = "" if spread.runs == runs else f" ({spread.runs} of {runs})"
    return f"{spread.mean:{form}}{some}\n{spread.least:{form}} to {spread.most:{form}}"


def _title(found: Backtest) -> str:
    late = found.label_delay_windows
    delay = "" if not late else f", labels {late} windows late"
    better = "higher" if found.greater_is_better else "lower"
    how = "versions take over at once" if found.at_once else "takeovers by the declared stages"
    return (
        f"{found.pipeline}: {found.rows:,} rows, {found.windows} windows after the first "
        f"{found.train_fraction:.0%}{delay}, {how}; {found.metric}, {better} is better"
    )
