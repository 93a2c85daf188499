"""Make a pipeline's decisions again from its record."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.common import (
    MOMENTS,
    Directory,
    Pipeline,
    app,
    find_declared,
    open_bucket,
    open_store,
    plain_console,
    progress_bar,
)
from perennial.errors import PerennialError
from perennial.settings import DEFAULT_DIR

if TYPE_CHECKING:
    from rich.console import Console

    from perennial.loop.replay import ReplayedWindow


@app.command()
def replay(
    pipeline: Pipeline,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=MOMENTS,
            help="Only what was decided from this moment on; local time, or with a zone such as "
            "+0000.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write every window to this file; - prints.")
    ] = None,
    directory: Directory = DEFAULT_DIR,
) -> None:
    """Make every decision of a pipeline again, from the facts that were known at its moment.

    Reads log, labels, checks, versions and history from the store and writes nothing there. Says
    window by window whether it comes out the same: what was decided, how deep, with what shares,
    and every figure and word that it rests on. Exit code 0 where all of it does; else 1, with what
    is recorded and what comes out now side by side.
    """
    from pydantic import TypeAdapter

    from perennial.loop.record import count_checks
    from perennial.loop.replay import ReplayedWindow
    from perennial.loop.replay import replay as decide_again
    from perennial.writable import check_file

    quiet = json is not None and str(json) == "-"
    if json is not None and not quiet:
        check_file(json, "--json")
    store = open_store(directory, pipeline)
    declared = find_declared(store, pipeline, directory)
    console = plain_console(stderr=quiet)
    moment = None if since is None else since.astimezone()

    def fetch(bucket: str, key: str) -> bytes:
        return open_bucket(directory, bucket).get(key).data

    total = count_checks(store, declared.spec.name)
    found: list[ReplayedWindow] = []
    with progress_bar("deciding again") as progress:
        for window in decide_again(store, declared, since=moment, fetch=fetch):
            found.append(window)
            progress(len(found), total)
            _print(console, window)
    if not found:
        raise PerennialError(
            f"{pipeline} has decided nothing{'' if since is None else ' since then'} that could be "
            "decided again"
        )
    _sum_up(console, pipeline, found)
    if json is not None:
        text = TypeAdapter(list[ReplayedWindow]).dump_json(found, indent=2).decode()
        if quiet:
            typer.echo(text)
        else:
            json.write_text(text + "\n", encoding="utf-8")
    if not all(window.same for window in found):
        raise typer.Exit(1)


def _print(console: Console, window: ReplayedWindow) -> None:
    from perennial.datasets.dates import in_words
    from perennial.drift.reasons import action_in_words

    verdict = "same" if window.same else "differs" if window.lost is None else "cannot be told"
    which = in_words(window.window, window.dates)
    console.print(f"{which}: {action_in_words(window.recorded)}, {verdict}", soft_wrap=True)
    if window.lost is not None:
        console.print(f"  {window.lost}", soft_wrap=True)
    for difference in window.differences:
        console.print(f"  {difference}", soft_wrap=True)


def _sum_up(console: Console, pipeline: str, found: list[ReplayedWindow]) -> None:
    lost = sum(window.lost is not None for window in found)
    differing = sum(bool(window.differences) for window in found)
    parts = [f"{len(found) - lost - differing} come out the same"]
    if differing:
        parts.append(f"{differing} differ")
    if lost:
        parts.append(f"of {lost} a fact is lost")
    console.print(f"{pipeline}: of {len(found)} windows {', '.join(parts)}", soft_wrap=True)
