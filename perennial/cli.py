"""The command line. Heavy imports stand inside the commands, so that --help is instant."""

from __future__ import annotations

import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.errors import PerennialError
from perennial.settings import DEFAULT_DIR

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from perennial.local import RunningStack, StackStatus
    from perennial.registry import HistoryEntry
    from perennial.store import Store

app = typer.Typer(
    name="perennial",
    help="Models that notice that their world has changed, retrain, prove themselves, take over.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

Directory = Annotated[
    Path, typer.Option("--dir", help="Where the stack keeps its data, logs and state.")
]
_MOMENTS = [
    f"%Y-%m-%d{between}{clock}{zone}"
    for between in (" ", "T")
    for clock in ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")
    for zone in ("", "%z")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


class WorkerKind(StrEnum):
    """How flow runs are started."""

    fork = "fork"
    process = "process"


def main() -> None:
    """Run the command line; an error that a user can cause is one line and exit code 1."""
    try:
        app()
    except PerennialError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)


@app.command()
def up(
    directory: Directory = DEFAULT_DIR,
    worker: Annotated[
        WorkerKind | None,
        typer.Option(
            help="fork: runs are forked from a warm process, first line after about a second. "
            "process: Prefect's own worker, a new Python for every run.",
            show_default="fork",
        ),
    ] = None,
) -> None:
    """Start the embedded stack: object store, Prefect server and worker, inference server.

    Everything listens on this machine's loopback only. Data and logs are kept in the directory
    from one start to the next; the first start takes about half a minute, later ones less.
    A second **up** finds the stack and says so. End it with **perennial down**.
    """
    from rich.console import Console

    from perennial.local import ensure_up

    console = Console(highlight=False)
    with console.status("starting the store and the Prefect server"):
        stack = ensure_up(
            directory,
            worker=worker.value if worker else None,
            progress=lambda text: console.print(f"  {text}"),
        )
    _print_addresses(console, stack, directory)


def _print_addresses(console: Console, stack: RunningStack, directory: Path) -> None:
    console.print("The stack is up." if stack.started else "The stack was up already.")
    for name, (usual, used) in stack.moved.items():
        console.print(f"Port {usual} is taken: the {name} part listens on {used}.")
    console.print(f"  Prefect           {stack.urls['prefect']}")
    console.print(f"  inference server  {stack.urls['serving']}")
    console.print(f"  S3 store          {stack.urls['store']}  (bucket {stack.settings.bucket})")
    console.print(
        f"For Prefect's own commands: export PREFECT_API_URL={stack.settings.prefect_api_url}"
    )
    console.print(f"Addresses and keys for other programs: {directory / 'stack.env'}")


@app.command()
def status(directory: Directory = DEFAULT_DIR, as_json: Json = False) -> None:
    """Say of every part of the stack whether it runs, whether it is healthy, and since when.

    Exit code 0 when all parts are healthy, 1 when one is not or the stack is not up.
    """
    from rich.console import Console

    from perennial.local import status as look

    seen = look(directory)
    if as_json:
        typer.echo(seen.model_dump_json(indent=2))
    elif not seen.parts:
        typer.echo(f"No stack is up in {seen.directory}: start one with 'perennial up'.")
    else:
        Console(highlight=False).print(_status_table(seen))
    if not seen.parts or not all(part.healthy for part in seen.parts):
        raise typer.Exit(1)


def _status_table(seen: StackStatus) -> Table:
    from rich.table import Table

    table = Table(box=None)
    for heading in ("part", "pid", "since", "restarts", "address"):
        table.add_column(heading, no_wrap=True)
    table.add_column("state")
    for part in seen.parts:
        table.add_row(
            part.name,
            str(part.pid or "-"),
            f"{part.since.astimezone():%m-%d %H:%M:%S}" if part.since else "-",
            str(part.restarts),
            part.url or "-",
            "[green]healthy[/green]" if part.healthy else f"[red]{part.fault}[/red]",
        )
    return table


@app.command()
def down(directory: Directory = DEFAULT_DIR) -> None:
    """End the stack: exactly the processes that **perennial up** started.

    Data stays in the directory; the next **up** goes on from there.
    """
    from rich.console import Console

    from perennial.local import stop

    console = Console(highlight=False)
    with console.status("ending the stack"):
        ended = stop(directory)
    console.print("The stack is down." if ended else f"No stack is up in {directory}.")


@app.command()
def serve(
    directory: Directory = DEFAULT_DIR,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer requests.")] = 1,
) -> None:
    """Run an inference server alone, in the foreground, until Ctrl-C.

    **perennial up** runs one already. This one is for a machine of its own: it finds the
    store by PERENNIAL_S3_ENDPOINT, PERENNIAL_BUCKET and AWS_*, else by the stack in the directory.
    """
    from perennial.serving.logs import configure_logging
    from perennial.serving.server import serve as run
    from perennial.settings import Settings

    configure_logging()
    run(
        Settings.load(directory),
        host=host,
        port=port,
        directory=directory / f"serving-{port}",
        workers=workers,
    )


@app.command()
def demo(
    pipeline: Annotated[
        str, typer.Argument(help="Folder of a pipeline.yaml, or a name below data/.")
    ] = "data/bike",
    windows: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many windows to play. Left out: of the declared size, at most 50."
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the stack up, for a look at Prefect's UI.")
    ] = False,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Play a recorded stream through the whole loop and write a report.

    Version 1 is trained on the first fifth. The rest goes row by row to the inference server; the
    truth follows one window later. The monitor runs after each window, and where it confirms a
    drift the automation retrains, with nobody's help. Against it stand a model that is never
    retrained and one that is retrained at every window.
    """
    from rich.console import Console

    from perennial.demo.plan import find_folder
    from perennial.demo.run import final_table, run_demo

    console = Console(highlight=False, stderr=as_json)
    folder = find_folder(pipeline, (Path("data"),))
    summary, files = run_demo(folder, directory, windows=windows, keep=keep, console=console)
    if as_json:
        typer.echo(summary.model_dump_json(indent=2))
        return
    from rich.table import Table

    table = Table(show_header=False, box=None)
    for what, figure in final_table(summary):
        table.add_row(what, figure)
    console.print(table)
    for file in (files.html, files.png, files.json):
        console.print(f"  {file}", soft_wrap=True)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="The pipeline's name.")],
    data: Annotated[Path, typer.Option(help="A csv, csv.gz or parquet file, or a folder of them.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    time: Annotated[
        str | None, typer.Option(help="Time column. Left out: rows are in time order already.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where pipeline.yaml goes. Left out: data/NAME.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace one that is there.")] = False,
) -> None:
    """Write a pipeline.yaml for a table: task, features and window are guessed from the data.

    Every guess stands in the file, with the reason where a column is left out, to be corrected by
    hand. Then: **perennial demo NAME**.
    """
    from perennial.datasets.describe import init_pipeline

    file = init_pipeline(
        name, data, target=target, time=time, folder=folder or Path("data") / name, force=force
    )
    typer.echo(f"{file} is written. Try it: perennial demo {file.parent}")


@app.command()
def versions(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """List a pipeline's versions: what each was made of, what it scored, which one answers."""
    import json

    from rich.console import Console
    from rich.table import Table

    from perennial.registry import list_versions, read_state

    store = _open_store(directory)
    found = list_versions(store, pipeline)
    state = read_state(store, pipeline).state
    if as_json:
        typer.echo(json.dumps([m.model_dump(mode="json") for m in found], indent=2))
        return
    if not found:
        raise PerennialError(f"{pipeline} has no version yet: run its retrain deployment")
    roles = {state.champion: "champion", state.challenger: "challenger", state.previous: "previous"}
    table = Table("version", "role", "made", "estimator", "score", "why", box=None)
    for manifest in found:
        score = manifest.metrics.get("score")
        table.add_row(
            manifest.version,
            roles.get(manifest.version, ""),
            f"{manifest.created_at.astimezone():%Y-%m-%d %H:%M:%S}",
            manifest.lineage.estimator,
            "" if score is None else f"{manifest.metrics['metric']} {score:.4g}",
            manifest.lineage.reason,
        )
    Console(highlight=False).print(table)


@app.command()
def history(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    at: Annotated[
        datetime | None,
        typer.Option(
            formats=_MOMENTS,
            help="Say who answered at this moment; local time, or with a zone such as +0000.",
        ),
    ] = None,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Tell what changed in a pipeline, when, why, and by whom; the oldest first.

    With **--at**: which version answered at that moment, with what share, and the change that had
    made it so.
    """
    import json

    from rich.console import Console
    from rich.table import Table

    from perennial.registry import read_history, standing_at

    entries = list(read_history(_open_store(directory), pipeline))
    if at is not None:
        entry = standing_at(entries, at.astimezone())
        if entry is None:
            raise PerennialError(f"{pipeline} had no version yet at {at.astimezone():%F %T %z}")
        typer.echo(entry.model_dump_json(indent=2) if as_json else _standing_text(entry))
        return
    if as_json:
        typer.echo(json.dumps([e.model_dump(mode="json") for e in entries], indent=2))
        return
    table = Table("when", "what", "version", "answers since", "why", "by", box=None)
    for entry in entries:
        when = f"{entry.at.astimezone():%Y-%m-%d %H:%M:%S}"
        answers = "" if entry.after is None else str(entry.after)
        table.add_row(when, entry.event, entry.version or "", answers, entry.reason, entry.by)
    Console(highlight=False).print(table)


def _standing_text(entry: HistoryEntry) -> str:
    since = f"{entry.at.astimezone():%Y-%m-%d %H:%M:%S}"
    return f"{entry.after}\nsince {since}: {entry.event} ({entry.reason}), by {entry.by}"


@app.command()
def rollback(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    to: Annotated[
        str | None,
        typer.Option(
            help="The version that shall answer. Left out: a challenger on its way is given up, "
            "else the champion before the present one comes back."
        ),
    ] = None,
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "by hand",
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Put an earlier version back at once; needs the object store, and nothing else.

    A rollout under way ends. Servers follow within two seconds. The policy hears of it: it asks for
    a new heal only after a while, so that the same data does not bring the same model back.
    """
    from perennial.rollout.moves import put_back

    store = _open_store(directory)
    state, given_up = put_back(store, pipeline, to=to, why=why, by=_person())
    if as_json:
        typer.echo(state.model_dump_json(indent=2))
        return
    gone = f"; {given_up} does not any more" if given_up not in (None, state.champion) else ""
    typer.echo(f"{state.champion} answers for {pipeline}{gone}.")


@app.command()
def approve(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline.")],
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "by hand",
    directory: Directory = DEFAULT_DIR,
) -> None:
    """Let the challenger through to promotion, where pipeline.yaml says **approval: manual**.

    It is promoted once its rollout has come that far; guardrails and the test of its loss hold on.
    """
    from perennial.rollout.moves import approve as let_through

    version = let_through(_open_store(directory), pipeline, by=_person(), why=why)
    typer.echo(f"{version} of {pipeline} may be promoted.")


def _person() -> str:
    """Who sits at the command line."""
    import getpass

    try:
        return f"{getpass.getuser()} on the command line"
    except (KeyError, OSError):
        # A container whose user has no name.
        return "the command line"


def _open_store(directory: Path) -> Store:
    from perennial.settings import Settings
    from perennial.store import open_store

    return open_store(Settings.load(directory))
