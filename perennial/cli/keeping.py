"""Make a version again, take one out, keep one, and remove what nobody needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.common import (
    Directory,
    Json,
    Pipeline,
    Version,
    app,
    name_of,
    open_store,
    person,
    plain_console,
    print_json,
)
from perennial.errors import PerennialError
from perennial.settings import DEFAULT_DIR

if TYPE_CHECKING:
    from perennial.registry.sweep import Sweep
    from perennial.store import Store


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
    from perennial.registry import find_version
    from perennial.reproduce import reproduce as train_again

    store = open_store(directory, pipeline)
    manifest = find_version(store, pipeline, version)
    with plain_console(stderr=True).status(f"training {manifest.version} again"):
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
def export(
    pipeline: Pipeline,
    version: Version,
    to: Annotated[Path, typer.Option("--to", help="A new or empty folder.")],
    source: Annotated[
        bool,
        typer.Option(
            "--source",
            help="The trained model too, as its library has it: skops or safetensors, no pickle.",
        ),
    ] = False,
    directory: Directory = DEFAULT_DIR,
) -> None:
    """Write a version's model.onnx, signature.json and page into a folder, each checked.

    With **--source** also the model that was trained, once it is seen to answer as its graph does:
    scikit-learn's object (skops) or torch's weights (safetensors), and the preprocessing; beside
    it requirements.txt, the releases that wrote it. A map or trees that were put on it later are
    in model.onnx alone.
    """
    from perennial.export import check_empty, read_export, read_source, write_folder
    from perennial.registry import find_version

    check_empty(to)
    store = open_store(directory, pipeline)
    manifest = find_version(store, pipeline, version)
    files = read_export(store, manifest)
    found = read_source(store, manifest) if source else None
    if found is not None:
        files |= found.files
    write_folder(to, files)
    typer.echo(f"{manifest.version} of {pipeline} is written to {to}: {', '.join(files)}.")
    if found is not None:
        typer.echo(f"{found.name} answers as its graph does, on {found.rows:,} rows.")
    if found is not None and found.has_others:
        typer.echo(
            f"It is the model that {found.of} trained; model.onnx has a correction on it besides."
        )


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

    store = open_store(directory, pipeline)
    if off:
        typer.echo(f"{unpin(store, pipeline, version)} of {pipeline} goes its way again.")
    else:
        kept = keep(store, pipeline, version, by=person(), why=why)
        typer.echo(f"{kept} of {pipeline} is kept.")


@app.command()
def gc(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            help="Name of the pipeline, or its folder. Left out: all of them.", callback=name_of
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Remove versions, refused candidates and snapshots whose time is over.

    What is live, pinned, among the newest champions or younger than a day stays; **retention** in
    pipeline.yaml says how long the rest does. The flow **gc** does the same every night.
    """
    from perennial.registry import known_pipelines

    store = open_store(directory, pipeline)
    names = [pipeline] if pipeline is not None else known_pipelines(store)
    plans, failed = [], []
    for name in names:
        try:
            plans.append(_sweep(store, name, dry_run=dry_run))
        except PerennialError as error:  # the others are swept all the same
            failed.append(f"{name}: {error}")
    if as_json:
        told = [
            {
                "pipeline": plan.pipeline,
                "kept": plan.kept,
                "versions": plan.versions,
                "snapshots": plan.snapshots,
                "objects": len(plan.objects),
                "bytes": plan.size,
            }
            for plan in plans
        ]
        print_json(told)
    for plan in [] if as_json else plans:
        verb = "would go" if dry_run else "removed"
        typer.echo(
            f"{plan.pipeline}: {len(plan.objects)} objects {verb} ({plan.size / 1e6:.1f} MB), "
            f"{len(plan.kept)} versions stay."
        )
        for version, why in plan.versions.items():
            typer.echo(f"  {version}: {why}")
        for name in plan.snapshots:
            typer.echo(f"  snapshot {name[:12]}: no version needs it")
    if failed:
        raise PerennialError("; ".join(failed))


def _sweep(store: Store, pipeline: str, *, dry_run: bool) -> Sweep:
    """Plan, and carry it out under the pipeline's lease unless it is a dry run."""
    from perennial.registry import find_declaration
    from perennial.registry.sweep import plan_sweep, sweep
    from perennial.spec import Retention
    from perennial.store import acquire_lease
    from perennial.store.lease import TAKE_OVER

    declaration = find_declaration(store, pipeline)
    retention = Retention() if declaration is None else declaration.spec.retention
    if dry_run:
        return plan_sweep(store, pipeline, retention)
    lease = acquire_lease(store, pipeline, f"gc by {person()}", patience=TAKE_OVER)
    try:
        plan = plan_sweep(store, pipeline, retention)
        sweep(store, plan, lease, by=person())
    finally:
        lease.release()
    return plan
