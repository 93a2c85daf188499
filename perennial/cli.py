"""The command line. Heavy imports stand inside the commands, so that --help is instant."""

from __future__ import annotations

import sys
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

app = typer.Typer(
    name="perennial",
    help="Models that notice that their world has changed, retrain, prove themselves, take over.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Directory = Annotated[
    Path, typer.Option("--dir", help="Where the stack keeps its data, logs and state.")
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
        WorkerKind,
        typer.Option(
            help="fork: runs are forked from a warm process, first line after about a second. "
            "process: Prefect's own worker, a new Python for every run."
        ),
    ] = WorkerKind.fork,
) -> None:
    """Start the embedded stack: object store, Prefect server and worker, inference server.

    Everything listens on this machine's loopback only. Data and logs are kept in the directory
    from one start to the next; the first start takes about half a minute, later ones less.
    A second [bold]up[/bold] finds the stack and says so. End it with [bold]perennial down[/bold].
    """
    from rich.console import Console

    from perennial.local import ensure_up

    console = Console(highlight=False)
    with console.status("starting the store and the Prefect server"):
        stack = ensure_up(
            directory, worker=worker.value, progress=lambda text: console.print(f"  {text}")
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

    table = Table("part", "state", "since", "restarts", "pid", "address", box=None)
    for part in seen.parts:
        state = "[green]healthy[/green]" if part.healthy else f"[red]{part.fault}[/red]"
        table.add_row(
            part.title,
            state,
            f"{part.since.astimezone():%Y-%m-%d %H:%M:%S}" if part.since else "-",
            str(part.restarts),
            str(part.pid or "-"),
            part.url or "-",
        )
    return table


@app.command()
def down(directory: Directory = DEFAULT_DIR) -> None:
    """End the stack: exactly the processes that [bold]perennial up[/bold] started.

    Data stays in the directory; the next [bold]up[/bold] goes on from there.
    """
    from rich.console import Console

    from perennial.local import stop

    console = Console(highlight=False)
    with console.status("ending the stack"):
        ended = stop(directory)
    console.print("The stack is down." if ended else f"No stack is up in {directory}.")
