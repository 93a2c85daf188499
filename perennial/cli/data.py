"""What is let in, and what was refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perennial.cli.common import Directory, Json, Pipeline, app, open_store, person
from perennial.errors import PerennialError
from perennial.settings import DEFAULT_DIR


@app.command()
def quarantine(
    pipeline: Pipeline,
    show: Annotated[
        str | None, typer.Option(help="Show the rows of one entry; a prefix of its name will do.")
    ] = None,
    release: Annotated[
        str | None,
        typer.Option(help="Let an entry's rows, or its window, be used from the next snapshot on."),
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="With --release: only rows that this rule refused.")
    ] = None,
    why: Annotated[str, typer.Option(help="Kept with the release.")] = "by hand",
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """List what was refused: rows that went aside, and windows that are held, each with the reason.

    **--show NAME** prints the rows with the rule that refused each. **--release NAME** lets them be
    used after all. Rows that were mended, in the source or by a change of **expectations.json**,
    need no release: the next snapshot sees that they pass.
    """
    from ulid import ULID

    from perennial.report.refused import entries_json, entries_text, rows_json, rows_table
    from perennial.store.lease import utc_now
    from perennial.validation.quarantine import Quarantine, find_name

    found = Quarantine(open_store(directory), pipeline)
    entries = found.entries()
    if release is not None:
        name = find_name(entries, release, pipeline)
        made = found.release(name, str(ULID()), why, person(), utc_now(), rule=rule)
        rows = "all" if made.rows is None else f"{len(made.rows)} of the rows"
        typer.echo(f"{name}: {rows} will be used from the next snapshot on.")
    elif show is not None:
        frame = found.rows(find_name(entries, show, pipeline))
        typer.echo(rows_json(frame) if as_json else rows_table(frame))
    elif as_json:
        typer.echo(entries_json(entries))
    else:
        typer.echo(entries_text(entries))


@app.command()
def validate(
    pipeline: Pipeline,
    data: Annotated[Path, typer.Argument(help="A Parquet file, or a folder of them.")],
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Hold data against a pipeline's expectations before they are given to it.

    The data may be larger than memory: they are read in batches. Nothing is written. Exit code 1
    where a training would be held.
    """
    from perennial.registry import find_declaration
    from perennial.report.refused import report_text
    from perennial.validation import find_suite, validate_parquet

    store = open_store(directory)
    declaration = find_declaration(store, pipeline)
    if declaration is None:
        raise PerennialError(f"there is no pipeline {pipeline!r} in the store: retrain it first")
    share = declaration.spec.validation.quarantine_share
    report = validate_parquet(data, find_suite(store, pipeline), share=share)
    typer.echo(report.model_dump_json(indent=2) if as_json else report_text(report))
    if report.held:
        raise typer.Exit(1)
