"""Play a stream's past through the loop."""

from __future__ import annotations

from typing import Annotated

import typer

from perennial.cli.common import Directory, Json, app, pipeline_folder, plain_console
from perennial.settings import DEFAULT_DIR, Settings


@app.command()
def demo(
    pipeline: Annotated[str, typer.Argument(help="Name of the pipeline, or its folder.")] = "bike",
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
    drift the automation heals the model, with nobody's help. Against it stand a model that is never
    retrained and one that is retrained at every window.

    All of it lies under a name of its own, **NAME-demo**: the pipeline itself is as it was. The
    report of each pipeline's last demo is kept below **demo/** in the directory.
    """
    from perennial.demo.run import final_table, run_demo

    console = plain_console(stderr=as_json)
    folder = pipeline_folder(pipeline, directory)
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
    if keep:
        login = f", {directory / 'prefect.auth'} holds Prefect's login"
        console.print(
            f"The stack is still up: perennial status says where"
            f"{login if Settings.load(directory).prefect_auth else ''}; perennial down ends it.",
            soft_wrap=True,
        )
