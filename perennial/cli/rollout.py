"""What a person sees of a rollout, and decides about it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from perennial.cli.common import Directory, Json, Pipeline, app, open_store, person
from perennial.errors import PerennialError
from perennial.settings import DEFAULT_DIR


class Goal(StrEnum):
    """Where a challenger may be taken by hand: `perennial.spec.Goal`."""

    shadow = "shadow"
    canary = "canary"
    promotion = "promotion"


@app.command()
def report(
    pipeline: Pipeline,
    version: Annotated[
        str | None,
        typer.Option(help="Left out: the newest version that has begun a rollout."),
    ] = None,
    bake: Annotated[
        bool, typer.Option("--bake", help="Of its bake, not of its way to promotion.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where the page goes. Left out: PIPELINE-VERSION.html.")
    ] = None,
    directory: Directory = DEFAULT_DIR,
) -> None:
    """Fetch the page of a rollout: the test of the loss row by row, stages, guardrails, slices.

    The rollout writes it while it lasts and when it ends. It opens in any browser, offline.
    """
    from perennial.registry import list_versions
    from perennial.registry.manifest import BAKE_PAGE, ROLLOUT_PAGE
    from perennial.store import layout
    from perennial.writable import check_file, check_folder

    if out is None:
        check_folder(Path())
    else:
        check_file(out, "--out")
    store = open_store(directory, pipeline)
    names = [manifest.version for manifest in reversed(list_versions(store, pipeline))]
    page = BAKE_PAGE if bake else ROLLOUT_PAGE
    for name in names if version is None else [version]:
        found = store.find(layout.version_file(pipeline, name, page))
        if found is not None:
            file = out or Path(f"{pipeline}-{name}.html")
            file.write_bytes(found.data)
            typer.echo(f"{file} is written.")
            return
    what = "bake" if bake else "rollout"
    whose = f"version {version!r} of {pipeline}" if version else f"any version of {pipeline}"
    raise PerennialError(f"there is no page of a {what} of {whose}: see 'perennial versions'")


@app.command()
def rollback(
    pipeline: Pipeline,
    to: Annotated[
        str | None,
        typer.Option(
            help="The version that shall answer, or the start of its name. Left out: a challenger "
            "on its way is given up, else the champion before the present one comes back."
        ),
    ] = None,
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "by hand",
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Put an earlier version back at once; needs the object store, and nothing else.

    A rollout under way ends. Servers follow within two seconds. The policy hears of it: it asks for
    a new heal only after a while, so that the same data does not bring the same model back.
    """
    from perennial.rollout.moves import put_back

    store = open_store(directory, pipeline)
    state, given_up = put_back(store, pipeline, to=to, why=why, by=person())
    if as_json:
        typer.echo(state.model_dump_json(indent=2))
        return
    gone = f"; {given_up} does not any more" if given_up not in (None, state.champion) else ""
    typer.echo(f"{state.champion} answers for {pipeline}{gone}.")


@app.command()
def advance(
    pipeline: Pipeline,
    to: Annotated[
        Goal, typer.Option(help="The stage, as far as pipeline.yaml declares it.")
    ] = Goal.promotion,
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "by hand",
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Take the challenger to a later stage at once, past what it would have had to show.

    Needs the object store, and nothing else. In the stages that are left, the bake too, guardrails
    and the test of its loss hold on.
    """
    from perennial.registry import find_declaration
    from perennial.rollout.moves import send_on
    from perennial.rollout.stages import on_its_way, who_answers

    store = open_store(directory, pipeline)
    declaration = find_declaration(store, pipeline)
    if declaration is None:
        raise PerennialError(f"there is no pipeline {pipeline!r} in the store")
    rollout = declaration.spec.rollout
    state = send_on(store, pipeline, to.value, rollout, by=person(), why=why)
    if as_json:
        typer.echo(state.model_dump_json(indent=2))
    elif not on_its_way(state):
        typer.echo(f"{pipeline}: {who_answers(state)}.")
    else:
        typer.echo(f"{state.challenger} of {pipeline} is in its {state.stage}.")


@app.command()
def approve(
    pipeline: Pipeline,
    why: Annotated[str, typer.Option(help="Kept in the history.")] = "by hand",
    directory: Directory = DEFAULT_DIR,
) -> None:
    """Let the challenger through to promotion, where pipeline.yaml says **approval: manual**.

    It is promoted once its rollout has come that far; guardrails and the test of its loss hold on.
    """
    from perennial.rollout.moves import approve as let_through

    version = let_through(open_store(directory, pipeline), pipeline, by=person(), why=why)
    typer.echo(f"{version} of {pipeline} may be promoted.")
