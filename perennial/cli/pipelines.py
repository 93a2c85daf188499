"""All pipelines at a glance."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.common import Directory, Json, app, open_store, print_json
from perennial.errors import PerennialError
from perennial.settings import DEFAULT_DIR, local_folders

if TYPE_CHECKING:
    from perennial.report.overview import Overview

_WIDTH = 80
_RETRAIN = "no version yet; make one: prefect deployment run retrain/retrain -p pipeline="


@app.command()
def pipelines(
    demos: Annotated[
        bool, typer.Option("--demos", help="Those of **perennial demo** too.")
    ] = False,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """List all pipelines: who answers and how well, the last and the next look, what fails, where
    each was declared.

    A pipeline is looked for by name in the folders of PERENNIAL_PIPELINES (joined by ':'), else in
    **data** of the current folder and then of Perennial's own; then in the store.
    """
    from perennial.report.overview import read_overviews
    from perennial.store.lease import utc_now

    folders, now = local_folders(directory), utc_now()
    away = None
    try:
        found = read_overviews(open_store(directory), folders, now, demos=demos)
    except PerennialError as error:
        away = error
        found = read_overviews(None, folders, now)
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
    else:
        for one in found:
            typer.echo(describe(one, now, Path.cwd()))
        if not found:
            typer.echo("No pipeline is declared: 'perennial init' makes one.")
    if away is not None:
        typer.echo(f"Only what is declared is known: {away}", err=True)


def describe(one: Overview, now: datetime, here: Path) -> str:
    """A pipeline in a few lines of 80 columns at most; a path is not broken."""
    lines = [one.pipeline + (" (a demo)" if one.demo else "")]
    for text in _told(one, now, here):
        lines += textwrap.wrap(
            text,
            _WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _told(one: Overview, now: datetime, here: Path) -> Iterator[str]:
    if one.known and one.champion is None:
        yield f"{_RETRAIN}{one.pipeline}"
    if one.champion is not None:
        age = "" if one.made is None else f", {_span(now - one.made)} old"
        loss = "" if one.loss is None else f"; loss {one.loss:.2f} times its reference"
        yield f"champion {one.champion}{age}{loss}"
    if one.challenger is not None:
        share = f", answers {one.weight:.0%}" if one.weight else ""
        yield f"{one.stage}: {one.challenger}{share}"
    elif one.stage != "idle":
        yield f"{one.stage} of the champion"
    if one.known:
        yield "; ".join(_looks(one, now))
    if one.held_windows or one.quarantined_rows:
        yield f"held windows {one.held_windows}; rows in quarantine {one.quarantined_rows:,}"
    if one.failure is not None and not one.alarms:
        yield f"the last retrain failed: {' '.join(one.failure.split())}"
    yield from (f"! {line}" for line in one.told)
    never = ", never run" if one.known is False else ""
    yield f"declared in {_short(one.declared, here)}{never}"
    for folder in one.shadowed:
        yield f"not looked at, since the folder above comes first: {_short(folder, here)}"


def _looks(one: Overview, now: datetime) -> Iterator[str]:
    if one.checked is None:
        yield "no check yet"
    else:
        yield f"last check {one.window}, {_span(now - one.checked)} ago: {one.decision}"
    if one.looked is not None and one.looked != one.checked:
        yield f"last look {_span(now - one.looked)} ago"
    if one.next_look is not None:
        yield f"next look in {_span(one.next_look - now)}"
    elif one.fault is None:
        yield "next look when somebody asks"


def _span(length: timedelta) -> str:
    """A length of time in its largest unit."""
    minutes = max(0, round(length.total_seconds() / 60))
    for unit, size in (("days", 1440), ("hours", 60)):
        if minutes >= 2 * size:
            return f"{minutes // size} {unit}"
    return f"{minutes} min"


def _short(folder: str | None, here: Path) -> str:
    if folder is None:
        return "the store alone"
    path = Path(folder)
    return str(path.relative_to(here)) if path.is_relative_to(here) else folder
