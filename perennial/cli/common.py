"""What the commands share: the application, options, the store, errors in one line."""

from __future__ import annotations

import errno
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perennial.errors import PerennialError, SpecError
from perennial.settings import DEFAULT_DIR, local_folders, local_trusted

if TYPE_CHECKING:
    from rich.console import Console

    from perennial.registry import Declaration
    from perennial.store import Store

app = typer.Typer(
    name="perennial",
    help="Models that notice that their world has changed, retrain, prove themselves, take over.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

DECLARATION = "pipeline.yaml"
_OF_THE_DISK = {errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS}
"""What a disk or its owner refuses: a person mends it, no traceback helps."""
MOMENTS = [
    f"%Y-%m-%d{between}{clock}{zone}"
    for between in (" ", "T")
    for clock in ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")
    for zone in ("", "%z")
]
"""How a moment may be written."""


def name_of(pipeline: str | None) -> str | None:
    """The name of a pipeline that is given by its name, or by its folder.

    Raises:
        SpecError: the folder's pipeline.yaml may not stand as it does, or there is none.
    """
    if pipeline is None or not _is_path(pipeline):
        return pipeline
    from perennial.spec import load_spec

    return load_spec(_home(pipeline)).name


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
Pipeline = Annotated[
    str, typer.Argument(help="Name of the pipeline, or its folder.", callback=name_of)
]


@app.callback(invoke_without_command=True)
def _of_the_program(
    version: Annotated[
        bool, typer.Option("--version", help="Say which release this is.", is_eager=True)
    ] = False,
) -> None:
    if version:
        from perennial import __version__

        typer.echo(f"perennial {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an error that a user can cause is one line and exit code 1."""
    try:
        app()
    except PerennialError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        where = "" if error.filename is None else f"{error.filename}: "
        typer.echo(f"Error: {where}{error.strerror}", err=True)
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
    from perennial.settings import Settings
    from perennial.store import layout

    opened = store.open_store(Settings.load(directory))
    if pipeline is not None and opened.find(layout.declaration(pipeline)) is None:
        _check_known(pipeline, directory, opened)
    return opened


def open_bucket(directory: Path, bucket: str) -> Store:
    """Any bucket that the stack's credentials reach."""
    from dataclasses import replace

    from perennial import store
    from perennial.settings import Settings

    return store.open_store(replace(Settings.load(directory), bucket=bucket))


def find_in_sight(pipeline: str, directory: Path = DEFAULT_DIR) -> Path | None:
    """The folder of a pipeline that is given by its name, its folder or its pipeline.yaml.

    Returns:
        None: there is no such name in any folder in which pipelines are looked for.

    Raises:
        SpecError: it is given by a folder that holds no pipeline.yaml.
    """
    if _is_path(pipeline):
        return _home(pipeline)
    found = (folder / pipeline for folder in local_folders(directory))
    return next((home for home in found if (home / DECLARATION).is_file()), None)


def pipeline_folder(pipeline: str, directory: Path = DEFAULT_DIR) -> Path:
    """The same of a pipeline that must be in sight.

    Raises:
        SpecError: it is not; says which are.
    """
    found = find_in_sight(pipeline, directory)
    if found is None:
        _check_known(pipeline, directory)
        raise SpecError(f"{pipeline} is declared in the store alone: this needs its folder")
    return found


def find_declared(store: Store, pipeline: str, directory: Path) -> Declaration:
    """What is declared of a pipeline: in a folder in sight, else in the store. Writes nothing.

    Raises:
        SpecError: there is no such pipeline, or its pipeline.yaml may not stand as it does.
    """
    from perennial.registry import Declaration, find_declaration
    from perennial.spec import load_spec

    folder = find_in_sight(pipeline, directory)
    if folder is not None:
        return Declaration(spec=load_spec(folder), folder=str(folder.resolve()))
    known = find_declaration(store, pipeline)
    if known is None:
        _check_known(pipeline, directory, store)
        raise SpecError(f"{pipeline} has no declaration that could be read")
    home = known.folder_below(local_trusted(directory))
    if home is None:
        return known
    return Declaration(spec=load_spec(home), folder=str(home), demo=known.demo)


def print_json(value: Any) -> None:
    """Print a value as JSON; what is no number there (NaN, infinity) becomes null."""
    import json

    typer.echo(json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A terminal to which every text goes as it stands: names and values may hold brackets."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, stderr=stderr, width=width)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr while something takes its time; it is told what is done, and of how
    much."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    console = plain_console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _home(path: str) -> Path:
    home = Path(path).parent if Path(path).name == DECLARATION else Path(path)
    if not (home / DECLARATION).is_file():
        raise SpecError(f"there is no {DECLARATION} in {home}; 'perennial init' writes one")
    return home


def _check_known(pipeline: str, directory: Path, store: Store | None = None) -> None:
    """Refuse a name that no folder in sight declares, nor the store, if it is given.

    Raises:
        SpecError: it says which there are.
    """
    from perennial.registry import check_known, in_sight, known_pipelines

    known = set(in_sight(local_folders(directory)))
    check_known(pipeline, known if store is None else {*known, *known_pipelines(store, demos=True)})


def _is_path(pipeline: str) -> bool:
    return (
        "/" in pipeline
        or pipeline in (".", "..", DECLARATION)
        or (Path(pipeline) / DECLARATION).is_file()
    )
