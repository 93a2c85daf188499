"""What the commands share: the application, options, the store, errors in one line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.errors import PerennialError
from perennial.settings import local_folders

if TYPE_CHECKING:
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
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Version = Annotated[
    str,
    typer.Argument(
        help="A version, the start of its name, or one of: champion, challenger, previous."
    ),
]
Pipeline = Annotated[str, typer.Argument(help="Name of the pipeline.")]


def main() -> None:
    """Run the command line; an error that a user can cause is one line and exit code 1."""
    try:
        app()
    except PerennialError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)


def person() -> str:
    """Who sits at the command line."""
    import getpass

    try:
        return f"{getpass.getuser()} on the command line"
    except (KeyError, OSError):
        # A container whose user has no name.
        return "the command line"


def open_store(directory: Path, pipeline: str | None = None) -> Store:
    """Connect to the store.

    Args:
        directory: of the stack, if one is up.
        pipeline: what the command is about, if it is about one.

    Raises:
        SpecError: there is no such pipeline; says which there are.
    """
    from perennial import store
    from perennial.registry import check_known, in_sight, known_pipelines
    from perennial.settings import Settings
    from perennial.store import layout

    opened = store.open_store(Settings.load(directory))
    if pipeline is not None and opened.find(layout.declaration(pipeline)) is None:
        known = known_pipelines(opened, demos=True)
        check_known(pipeline, {*known, *in_sight(local_folders(directory))})
    return opened
