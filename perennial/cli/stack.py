"""The stack on this machine, and the inference server alone."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.common import Directory, Json, app, open_store, plain_console
from perennial.errors import PerennialError
from perennial.settings import DEFAULT_DIR, local_folders

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from perennial.local import RunningStack, StackStatus


class WorkerKind(StrEnum):
    """How flow runs are started."""

    fork = "fork"
    process = "process"


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
    auth: Annotated[
        bool | None,
        typer.Option(
            "--auth/--no-auth",
            help="Prefect asks for a password, also in the browser: the line in the "
            "directory's prefect.auth. Without it everybody on this machine may start any flow.",
            show_default="auth",
        ),
    ] = None,
) -> None:
    """Start the embedded stack: object store, Prefect server and worker, inference server,
    and the door for alerts.

    Everything listens on this machine's loopback only. Data and logs are kept in the directory
    from one start to the next; the first start takes about half a minute, later ones less.
    A second **up** finds the stack and says so. End it with **perennial down**.

    Pipelines are looked for in the folders of PERENNIAL_PIPELINES (joined by ':'), else in **data**
    of the current folder and then of Perennial's own.
    """
    from perennial.local import ensure_up

    console = plain_console()
    with console.status("starting the store and the Prefect server"):
        stack = ensure_up(
            directory,
            worker=worker.value if worker else None,
            progress=lambda text: console.print(f"  {text}"),
            auth=auth,
        )
    _print_addresses(console, stack, directory)


def _print_addresses(console: Console, stack: RunningStack, directory: Path) -> None:
    console.print("The stack is up." if stack.started else "The stack was up already.")
    for name, (usual, used) in stack.moved.items():
        console.print(f"Port {usual} is taken: the {name} part listens on {used}.")
    asked = "  (login in prefect.auth)" if stack.settings.prefect_auth else ""
    console.print(f"  Prefect           {stack.urls['prefect']}{asked}")
    console.print(f"  inference server  {stack.urls['serving']}")
    console.print(f"  alerts            {stack.urls['alerts']}/v1/alerts  (token in alerts.token)")
    console.print(f"  S3 store          {stack.urls['store']}  (bucket {stack.settings.bucket})")
    folders = ", ".join(map(str, stack.settings.pipeline_folders))
    console.print(f"  pipelines         {folders}", soft_wrap=True)
    told = f"For Prefect's commands and others: set -a; . {directory / 'stack.env'}; set +a"
    console.print(told, soft_wrap=True)


@app.command()
def status(directory: Directory = DEFAULT_DIR, as_json: Json = False) -> None:
    """Say of every part of the stack whether it runs, whether it is healthy, and since when; and
    of which pipelines something keeps failing.

    Exit code 0 when all parts are healthy, 1 when one is not or the stack is not up.
    """
    from perennial.local import status as look

    seen = look(directory)
    if seen.up:
        seen = seen.model_copy(update={"alarms": _alarms(directory)})
    if as_json:
        typer.echo(seen.model_dump_json(indent=2))
    elif not seen.parts:
        typer.echo(f"No stack is up in {seen.directory}: start one with 'perennial up'.")
    else:
        plain_console().print(status_text(seen), soft_wrap=True)
        for alarm in seen.alarms:
            typer.echo(f"! {alarm}")
    if not seen.parts or not all(part.healthy for part in seen.parts):
        raise typer.Exit(1)


def _alarms(directory: Path) -> tuple[str, ...]:
    from perennial.report.overview import read_overviews
    from perennial.store.lease import utc_now

    try:
        found = read_overviews(open_store(directory), local_folders(directory), utc_now())
    except PerennialError as error:
        return (f"the pipelines cannot be seen: {error}",)
    return tuple(f"{one.pipeline}: {line}" for one in found for line in one.told)


def status_text(seen: StackStatus) -> Text:
    """All parts of a stack for a terminal."""
    from rich.text import Text

    from perennial.report.records import records_text

    rows = [
        (
            part.name,
            str(part.pid or "-"),
            f"{part.since.astimezone():%m-%d %H:%M:%S}" if part.since else "-",
            str(part.restarts),
            part.url or "-",
            "healthy" if part.healthy else str(part.fault),
        )
        for part in seen.parts
    ]
    header = ("part", "pid", "since", "restarts", "address", "state")
    text = Text(records_text(header, rows, prose=(5,)))
    text.highlight_words(["healthy"], "green")
    text.highlight_words([str(part.fault) for part in seen.parts if not part.healthy], "red")
    return text


@app.command()
def down(directory: Directory = DEFAULT_DIR) -> None:
    """End the stack: exactly the processes that **perennial up** started.

    Data stays in the directory; the next **up** goes on from there.
    """
    from perennial.local import stop

    console = plain_console()
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
    from perennial.writable import check_folder

    configure_logging()
    own = directory / f"serving-{port}"
    check_folder(own)
    run(
        Settings.load(directory),
        host=host,
        port=port,
        directory=own,
        workers=workers,
    )
