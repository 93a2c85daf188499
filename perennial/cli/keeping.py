"""Make a version again, keep one, and remove what nobody needs."""

from __future__ import annotations

from typing import Annotated

import typer

from perennial.cli.common import Directory, Json, Pipeline, Version, app, open_store, person
from perennial.settings import DEFAULT_DIR


@app.command()
def reproduce(
    pipeline: Pipeline,
    version: Version,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Train a version again from its lineage alone, and compare model.onnx byte by byte.

    Exit code 0 where the bytes are the same; else 1, with every input that is not what it was:
    snapshot, spec, code, environment.
    """
    from rich.console import Console

    from perennial.registry import find_version
    from perennial.reproduce import reproduce as train_again

    store = open_store(directory)
    manifest = find_version(store, pipeline, version)
    with Console(stderr=True).status(f"training {manifest.version} again"):
        result = train_again(store, manifest)
    if as_json:
        typer.echo(result.model_dump_json(indent=2))
    elif result.identical:
        typer.echo(f"{result.version} of {pipeline}: the same bytes again, sha256 {result.sha256}")
    else:
        got = result.again or "not trained, an input is missing"
        typer.echo(f"{result.version} of {pipeline} is not reproduced: {result.sha256} then, {got}")
    if not as_json:
        for difference in result.differences:
            typer.echo(f"  {difference}")
        if not result.identical and not result.differences:
            typer.echo("  no recorded input differs: the training is not deterministic here")
    if not result.identical:
        raise typer.Exit(1)


@app.command()
def pin(
    pipeline: Pipeline,
    version: Version,
    why: Annotated[str, typer.Option(help="Kept with the pin.")] = "by hand",
    off: Annotated[bool, typer.Option("--off", help="Take the pin away.")] = False,
    directory: Directory = DEFAULT_DIR,
) -> None:
    """Keep a version for good, whatever **perennial gc** thinks of its age."""
    from perennial.registry.sweep import pin as keep
    from perennial.registry.sweep import unpin

    store = open_store(directory)
    if off:
        typer.echo(f"{unpin(store, pipeline, version)} of {pipeline} goes its way again.")
    else:
        kept = keep(store, pipeline, version, by=person(), why=why)
        typer.echo(f"{kept} of {pipeline} is kept.")


@app.command()
def gc(
    pipeline: Pipeline,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Remove versions, refused candidates and snapshots whose time is over.

    What is live, pinned, among the newest champions or younger than a day stays; **retention** in
    pipeline.yaml says how long the rest does. The flow **gc** does the same every night.
    """
    import json

    from perennial.registry import find_declaration
    from perennial.registry.sweep import plan_sweep, sweep
    from perennial.spec import Retention
    from perennial.store import acquire_lease

    store = open_store(directory)
    declaration = find_declaration(store, pipeline)
    retention = Retention() if declaration is None else declaration.spec.retention
    removed = 0
    if dry_run:
        plan = plan_sweep(store, pipeline, retention)
    else:
        lease = acquire_lease(store, pipeline, f"gc by {person()}")
        try:
            plan = plan_sweep(store, pipeline, retention)
            removed = sweep(store, plan, lease, by=person())
        finally:
            lease.release()
    if as_json:
        told = {"kept": plan.kept, "versions": plan.versions, "snapshots": plan.snapshots}
        typer.echo(json.dumps({**told, "bytes": plan.size, "removed": removed}, indent=2))
        return
    for version, why in plan.versions.items():
        typer.echo(f"  {version}: {why}")
    for name in plan.snapshots:
        typer.echo(f"  snapshot {name[:12]}: no version needs it")
    verb = f"{len(plan.objects)} objects would go" if dry_run else f"{removed} objects removed"
    typer.echo(f"{verb} ({plan.size / 1e6:.1f} MB), {len(plan.kept)} versions stay.")
