"""What was made of what, and what changed when."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.common import Directory, Json, Pipeline, Version, app, open_store
from perennial.errors import PerennialError
from perennial.settings import DEFAULT_DIR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perennial.registry import HistoryEntry, Manifest

_MOMENTS = [
    f"%Y-%m-%d{between}{clock}{zone}"
    for between in (" ", "T")
    for clock in ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")
    for zone in ("", "%z")
]


@app.command()
def versions(
    pipeline: Pipeline,
    refused: Annotated[
        bool, typer.Option("--refused", help="List the candidates that the gate refused too.")
    ] = False,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """List a pipeline's versions: what each was made of, what it scored, which one answers."""
    import json

    from rich.console import Console
    from rich.table import Table

    from perennial.registry import ALIASES, list_refused, list_versions, read_state

    store = open_store(directory)
    found: list[Manifest] = list(list_versions(store, pipeline))
    turned_away = list_refused(store, pipeline) if refused else []
    state = read_state(store, pipeline).state
    if as_json:
        everything = [*found, *turned_away]
        typer.echo(json.dumps([m.model_dump(mode="json") for m in everything], indent=2))
        return
    if not found and not turned_away:
        raise PerennialError(f"{pipeline} has no version yet: run its retrain deployment")
    roles = {getattr(state, alias): alias for alias in reversed(ALIASES)}
    roles |= {candidate.version: "refused" for candidate in turned_away}
    table = Table("version", "role", "made", "estimator", "score", "why", box=None)
    for manifest in sorted([*found, *turned_away], key=lambda m: m.version):
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
def show(
    pipeline: Pipeline,
    version: Version,
    html: Annotated[
        Path | None, typer.Option(help="Write the page here instead, as HTML that opens offline.")
    ] = None,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Show a version's page: data, metrics, slices, gates, what led to it, what it was made of.

    A candidate that the gate refused has one too, as long as it is kept.
    """
    import json

    from perennial.evaluation.decision import read_decision
    from perennial.registry import find_version, read_file
    from perennial.registry.manifest import CARD_FILE, GATE_FILE, PAGE_FILE

    store = open_store(directory)
    manifest = find_version(store, pipeline, version)
    if as_json:
        decision = read_decision(read_file(store, manifest, GATE_FILE))
        told = {**manifest.model_dump(mode="json"), "gate": decision.model_dump(mode="json")}
        typer.echo(json.dumps(told, indent=2))
        return
    if html is not None:
        html.write_bytes(read_file(store, manifest, PAGE_FILE))
        typer.echo(f"{html} is written.")
        return
    from rich.console import Console
    from rich.markdown import Markdown

    from perennial.report.records import cut_tables

    console = Console(highlight=False)
    for piece, is_table in cut_tables(read_file(store, manifest, CARD_FILE).decode()):
        if is_table:
            typer.echo(f"\n{piece}\n")
        else:
            console.print(Markdown(piece))


@app.command()
def compare(
    pipeline: Pipeline,
    left: Version,
    right: Version,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Put two versions side by side, and say in what they differ.

    Their scores were measured on different rows, each on those that were new then: how the one
    stood against the other on the same rows is what its gate and its rollout tell.
    """
    import json

    from perennial.registry import find_version
    from perennial.registry.comparison import compare_versions
    from perennial.report.records import records_text

    store = open_store(directory)
    one, other = (find_version(store, pipeline, name) for name in (left, right))
    differences = compare_versions(store, one, other)
    if as_json:
        typer.echo(json.dumps([line._asdict() for line in differences], indent=2))
        return
    header = ("", one.version, other.version)
    typer.echo(records_text(header, differences, prose=(1, 2)))


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
    typer.echo(history_text(entries))


def history_text(entries: Sequence[HistoryEntry]) -> str:
    """All changes for a terminal, in the order given."""
    from perennial.report.records import records_text

    rows = [
        (
            f"{entry.at.astimezone():%Y-%m-%d %H:%M:%S}",
            entry.event,
            entry.version or "",
            "" if entry.after is None else str(entry.after),
            entry.reason,
            entry.by,
        )
        for entry in entries
    ]
    header = ("when", "what", "version", "answers since", "why", "by")
    return records_text(header, rows, prose=(4,)) if rows else "Nothing has changed yet."


def _standing_text(entry: HistoryEntry) -> str:
    since = f"{entry.at.astimezone():%Y-%m-%d %H:%M:%S}"
    return f"{entry.after}\nsince {since}: {entry.event} ({entry.reason}), by {entry.by}"
