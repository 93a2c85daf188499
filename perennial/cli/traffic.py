"""A table to try the loop with, and the requests of a table's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perennial.cli.common import (
    Directory,
    Json,
    Pipeline,
    app,
    find_declared,
    open_store,
    print_json,
    progress_bar,
)
from perennial.errors import StackError
from perennial.settings import DEFAULT_DIR


@app.command()
def example(
    folder: Annotated[Path, typer.Option(help="Where the tables go.")] = Path(),
    seed: Annotated[int, typer.Option(min=0, help="Of all that is random in them.")] = 0,
) -> None:
    """Write churn.csv and later.csv: a made table to try everything with.

    Both hold calls of customers and whether they left. In **later.csv** they leave for other
    reasons, so that a model of **churn.csv** has to heal.
    """
    from perennial.demo.example import HISTORY, LATER, write_example
    from perennial.writable import check_file, check_folder

    check_folder(folder, "--folder")
    if folder.is_dir():
        for name in (HISTORY, LATER):
            check_file(folder / name)
    folder.mkdir(parents=True, exist_ok=True)
    history, later = write_example(folder, seed=seed)
    typer.echo(f"{history} and {later} are written.")
    typer.echo(f"Next: perennial init churn --data {history} --target churned --time called_at")


@app.command()
def send(
    pipeline: Pipeline,
    data: Annotated[
        Path, typer.Argument(help="A table with the columns of the pipeline's source.")
    ],
    per_second: Annotated[
        float, typer.Option(min=0, help="Requests a second; 0: as fast as they are answered.")
    ] = 20.0,
    labels_after: Annotated[
        int, typer.Option(min=0, help="Rows between a request and its truth.")
    ] = 0,
    rows: Annotated[
        int | None, typer.Option(min=1, help="Only so many, the first. Left out: all.")
    ] = None,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Send a table's rows to the server as a client would: a request a row, the truth later.

    So a loop can be seen at work before real clients send anything. Rows go in the order of time,
    each under an id of its own; a truth that the table lacks is not sent.
    """
    import dataclasses

    from perennial.datasets.source import read_source
    from perennial.demo.client import Client
    from perennial.demo.traffic import send_rows
    from perennial.settings import Settings

    settings = Settings.load(directory)
    if settings.server_url is None:
        raise StackError(
            "no inference server is known: run 'perennial up', or set PERENNIAL_SERVER_URL"
        )
    declared = find_declared(open_store(directory), pipeline, directory).spec
    source = declared.source.model_copy(update={"uri": str(data.resolve()), "made_by": None})
    spec = declared.model_copy(update={"source": source})
    frame = read_source(spec, data.parent).head(rows)
    client = Client(settings.server_url, pipeline)
    try:
        with progress_bar(f"rows to {pipeline}") as progress:
            tally = send_rows(
                client,
                spec,
                frame,
                per_second=per_second,
                labels_after=labels_after,
                told=lambda tally: progress(tally.sent, len(frame)),
            )
    finally:
        client.close()
    if as_json:
        print_json(dataclasses.asdict(tally))
        return
    typer.echo(
        f"{tally.answered} rows answered, {tally.failed} refused, {tally.labels} truths sent."
    )
    if tally.failed:
        typer.echo(f"The last refusal: {client.refusal}")
