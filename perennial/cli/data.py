"""What is let in, and what was refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.common import (
    Directory,
    Json,
    Pipeline,
    app,
    find_declared,
    open_bucket,
    open_store,
    person,
    progress_bar,
)
from perennial.settings import DEFAULT_DIR

if TYPE_CHECKING:
    import pandas as pd

    from perennial.store import Store
    from perennial.validation.quarantine import Quarantine, Record

_ROWS = 20
Given = Annotated[str, typer.Argument(help="Name of the pipeline, or its folder.")]


@app.command()
def quarantine(
    pipeline: Pipeline,
    show: Annotated[
        str | None, typer.Option(help="Show the rows of one entry; a prefix of its name will do.")
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help=f"With --show: at most so many; left out {_ROWS}, as JSON all."),
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

    **--show NAME** prints rows that went aside with the rule that refused each, or the rows of a
    held window. **--release NAME** lets them be used after all. Rows that were mended, in the
    source or by a change of **expectations.json**, need no release: the next snapshot sees that
    they pass.
    """
    from ulid import ULID

    from perennial.report.refused import entries_json, entries_text, rows_json, rows_table
    from perennial.store.lease import utc_now
    from perennial.validation.quarantine import Quarantine, find_name

    store = open_store(directory, pipeline)
    found = Quarantine(store, pipeline)
    entries = found.entries()
    if release is not None:
        name = find_name(entries, release, pipeline)
        made = found.release(name, str(ULID()), why, person(), utc_now(), rule=rule)
        told = "all" if made.rows is None else f"{len(made.rows)} of the rows"
        typer.echo(f"{name}: {told} will be used from the next snapshot on.")
    elif show is not None:
        name = find_name(entries, show, pipeline)
        record = next(entry.record for entry in entries if entry.record.name == name)
        frame = _rows(store, found, record, directory)
        typer.echo(rows_json(frame.head(rows)) if as_json else rows_table(frame, rows or _ROWS))
    elif as_json:
        typer.echo(entries_json(entries))
    else:
        typer.echo(entries_text(entries))


def _rows(store: Store, found: Quarantine, record: Record, directory: Path) -> pd.DataFrame:
    from perennial.validation.held import held_rows

    if record.kind == "rows":
        return found.rows(record.name)

    def fetch(bucket: str, key: str) -> bytes:
        return open_bucket(directory, bucket).get(key).data

    return held_rows(store, find_declared(store, record.pipeline, directory), record, fetch)


@app.command()
def validate(
    pipeline: Given,
    data: Annotated[
        str,
        typer.Argument(
            help="A csv, csv.gz or parquet file, or a folder of them; here, or at s3://bucket/key."
        ),
    ],
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Hold data against a pipeline's expectations before they are given to it.

    They are judged as a training on them would: rows without a label are left out. Parquet may be
    larger than memory: it is read in batches. Nothing is written. Exit code 1 where a training
    would be held.
    """
    from perennial.cli.places import local_files
    from perennial.report.refused import report_text
    from perennial.validation import need_suite, validate_files

    store = open_store(directory)
    declaration = find_declared(store, pipeline, directory)
    suite = need_suite(store, declaration)
    with local_files(data, directory) as files, progress_bar("rows") as progress:
        report = validate_files(files, suite, declaration.spec, progress=progress)
    typer.echo(report.model_dump_json(indent=2) if as_json else report_text(report))
    if report.held:
        raise typer.Exit(1)


@app.command()
def expectations(
    pipeline: Given,
    write: Annotated[
        bool,
        typer.Option("--write", help="Write them beside pipeline.yaml, to be edited there."),
    ] = False,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Show the expectations in force: what the last training learned, and what a person changed.

    **--write** puts them into **expectations.json** beside pipeline.yaml. Edit figures and
    severities there, delete rules or add some: that holds from the next run on, and what you left
    as it was is learned anew by every training. The loop never writes that file.
    """
    from perennial.errors import PerennialError
    from perennial.report.refused import suite_json, suite_text
    from perennial.validation import need_suite, suites
    from perennial.validation.edits import deleted, origin
    from perennial.validation.rules import read_rules
    from perennial.writable import check_file

    store = open_store(directory)
    declaration = find_declared(store, pipeline, directory)
    suite = need_suite(store, declaration)
    if write:
        if declaration.path is None:
            raise PerennialError(
                f"the folder of {declaration.spec.name} cannot be seen from here: name its folder"
            )
        file = declaration.path / suites.EXPECTATIONS_FILE
        check_file(file)
        file.write_text(suites.suite_text(suite), encoding="utf-8")
        typer.echo(f"{file} is written: {len(suite['expectations'])} rules.")
        return
    rules = [(rule, origin(rule)) for rule in read_rules(suite)]
    text = suite_json if as_json else suite_text
    typer.echo(text(rules, deleted(suite)))
