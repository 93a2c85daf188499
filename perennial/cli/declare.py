"""Declare a table as a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.common import Directory, Json, app, plain_console, print_json
from perennial.settings import DEFAULT_DIR

if TYPE_CHECKING:
    from rich.table import Table

    from perennial.declaring import Look, Sight

_WIDTH = 80
_MANY = 60
"""Columns beyond which those of which there is nothing to say are only counted."""


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="The pipeline's name.")],
    data: Annotated[Path, typer.Option(help="A csv, csv.gz or parquet file, or a folder of them.")],
    target: Annotated[str, typer.Option(help="Column to predict.")],
    time: Annotated[
        str | None,
        typer.Option(help="Time column. Left out: one that reads as times, else the rows' order."),
    ] = None,
    time_format: Annotated[
        str | None,
        typer.Option(
            help="How it writes its times: iso, seconds, milliseconds, or a pattern such as "
            "'%d.%m.%Y %H:%M'. Left out: found from all its values."
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where pipeline.yaml goes. Left out: data/NAME.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace one that is there.")] = False,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Look at a table as an engineer would, and write its pipeline.yaml.

    Guessed are the task, the time and its format, columns that cannot be a feature (ids, constants,
    copies), a window, a schedule and a rollout that go with the stream's pace. The gate's own
    search looks for columns that tell the target: a plain copy is ignored, any other is named, for
    you to decide. Every guess stands in the file, with its reason. Then: **perennial demo NAME**.
    """
    from perennial.declaring import declare
    from perennial.local import offer_pipelines

    made = declare(
        name,
        data,
        target=target,
        time=time,
        time_format=time_format,
        folder=folder or Path("data") / name,
        force=force,
    )
    offer_pipelines(directory, made=made.file.parent)
    if as_json:
        seen = {"file": str(made.file), "read": made.how, **made.look.model_dump(mode="json")}
        print_json(seen)
        return
    _show(made.look, made.how, made.file)
    typer.echo(f"Next: perennial demo {name if folder is None else folder}")


def _show(look: Look, how: str, file: Path) -> None:
    from rich.padding import Padding

    console = plain_console(width=_WIDTH)
    console.print(f"{look.rows:,} rows, {len(look.columns)} columns{f', {how}' if how else ''}")
    console.print(_columns(look))
    console.print(_guesses(look))
    for note in look.notes:
        console.print(Padding(f"{note}.", (0, 0, 0, 1)))
    suspected = [repr(sight.name) for sight in look.of_role("suspected")]
    if suspected:
        console.print(
            f"Decide about {', '.join(suspected)} first: the gate will refuse a model that uses "
            "what tells the target. pipeline.yaml says how, beside `ignore`."
        )
    console.print(f"{file} is written; every guess stands in it, with its reason.", soft_wrap=True)


def _columns(look: Look) -> Table:
    from rich.table import Table

    table = Table("column", "holds", "role", "why", box=None, width=_WIDTH)
    table.columns[0].overflow = table.columns[3].overflow = "fold"
    table.columns[0].max_width = 24
    table.columns[2].no_wrap = True
    shown = [sight for sight in look.columns if len(look.columns) <= _MANY or not _is_plain(sight)]
    for sight in shown:
        table.add_row(sight.name, sight.kind, sight.role, sight.why)
    if len(shown) < len(look.columns):
        table.add_row(f"{len(look.columns) - len(shown):,} more", "", "feature", "")
    return table


def _is_plain(sight: Sight) -> bool:
    return sight.role == "feature" and not sight.why


def _guesses(look: Look) -> Table:
    from rich.table import Table

    table = Table(box=None, show_header=False, width=_WIDTH)
    table.add_row("task", look.task, look.why_task)
    table.add_row("window", f"{look.pace.window} rows", look.pace.why_window)
    table.add_row("schedule", look.pace.schedule, look.pace.why_schedule)
    table.add_row("rollout", "scaled" if look.pace.rollout else "usual", look.pace.why_rollout)
    return table
