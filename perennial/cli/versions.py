"""What was made of what, and what changed when."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.common import Directory, Json, Pipeline, app, open_store
from perennial.errors import PerennialError
from perennial.settings import DEFAULT_DIR

if TYPE_CHECKING:
    from perennial.registry import HistoryEntry

_MOMENTS = [
    f"%Y-%m-%d{between}{clock}{zone}"
    for between in (" ", "T")
    for clock in ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")
    for zone in ("", "%z")
]


@app.command()
def versions(
    pipeline: Pipeline,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """List a pipeline's versions: what each was made of, what it scored, which one answers."""
    import json

    from rich.console import Console
    from rich.table import Table

    from perennial.registry import list_versions, read_state

    store = open_store(directory)
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
    pipeline: Pipeline,
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

    entries = list(read_history(open_store(directory), pipeline))
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
