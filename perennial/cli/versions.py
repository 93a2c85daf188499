"""What was made of what, and what changed when."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perennial.cli.common import (
    MOMENTS,
    Directory,
    Json,
    Pipeline,
    Version,
    app,
    open_store,
    plain_console,
    print_json,
)
from perennial.errors import PerennialError
from perennial.settings import DEFAULT_DIR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perennial.contest import Contest
    from perennial.registry import HistoryEntry, Manifest
    from perennial.store import Store


@app.command()
def versions(
    pipeline: Pipeline,
    refused: Annotated[
        bool, typer.Option("--refused", help="List the candidates that the gate refused too.")
    ] = False,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """List a pipeline's versions: what each was made of, what it scored, which one answers.

    A score stands with the rows that it was measured on. How a version did against the champion of
    its time, on the same rows, is told beside it: at its gate, and on live traffic.
    """
    from rich.table import Table

    from perennial.registry import (
        ALIASES,
        list_refused,
        list_versions,
        read_history,
        read_state,
    )

    store = open_store(directory, pipeline)
    found: list[Manifest] = list(list_versions(store, pipeline))
    turned_away = list_refused(store, pipeline) if refused else []
    state = read_state(store, pipeline).state
    if as_json:
        everything = [*found, *turned_away]
        print_json([m.model_dump(mode="json") for m in everything])
        return
    if not found and not turned_away:
        raise PerennialError(
            f"{pipeline} has no version yet; make one: prefect deployment run retrain/retrain "
            f"-p pipeline={pipeline}"
        )
    roles = {getattr(state, alias): alias for alias in reversed(ALIASES)}
    roles |= {candidate.version: "refused" for candidate in turned_away}
    entries = list(read_history(store, pipeline))
    console = plain_console()
    for manifest in sorted([*found, *turned_away], key=lambda m: m.version):
        table = Table.grid("", "", padding=(0, 2))
        for what, told in _shown(manifest, entries):
            table.add_row(f"  {what}", told)
        made = f"{manifest.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
        role = roles.get(manifest.version, "")
        console.print("  ".join(filter(None, [manifest.version, role, f"made {made}"])))
        console.print(table)
    if len(found) > 1:
        console.print(
            f"A score says nothing beside one of other rows: 'perennial compare {pipeline} "
            "previous champion' lets two versions answer the same ones.",
            style="dim",
        )


def _shown(manifest: Manifest, entries: Sequence[HistoryEntry]) -> list[tuple[str, str]]:
    """What there is to say of a version: each thing by its name."""
    from perennial.registry.comparison import gate_text, live_text, rows_text, score_text

    told, lineage = manifest.metrics, manifest.lineage
    score = " on ".join(filter(None, [score_text(told), rows_text(told)]))
    lines = [
        (
            "estimator",
            lineage.estimator,
        ),
        ("answers", _answers(manifest)),
        ("score", score),
        ("at its gate", gate_text(told)),
        ("live", live_text(entries, manifest.version)),
        ("why", lineage.reason),
        ("refused", getattr(manifest, "reason", "")),
    ]
    return [(what, text) for what, text in lines if text]


def _answers(manifest: Manifest) -> str:
    """With what share each model counts that answers, and which version trained it."""
    from perennial.drift.reasons import parts_of
    from perennial.evaluation.mixing import Mixture

    lineage = manifest.lineage
    if not lineage.recipe.shares:
        return ""
    taken = ", ".join(f"{name} of {of}" for name, of in lineage.bases.items())
    return f"{parts_of(Mixture(**lineage.recipe.shares))} ({taken})"


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
    from perennial.evaluation.decision import GateDecision
    from perennial.registry import find_version, read_file
    from perennial.registry.manifest import CARD_FILE, GATE_FILE, PAGE_FILE
    from perennial.writable import check_file

    if html is not None:
        check_file(html, "--html")
    store = open_store(directory, pipeline)
    manifest = find_version(store, pipeline, version)
    if as_json:
        decision = GateDecision.model_validate_json(read_file(store, manifest, GATE_FILE))
        told = {**manifest.model_dump(mode="json"), "gate": decision.model_dump(mode="json")}
        print_json(told)
        return
    if html is not None:
        html.write_bytes(read_file(store, manifest, PAGE_FILE))
        typer.echo(f"{html} is written.")
        return
    from rich.markdown import Markdown

    from perennial.report.records import cut_tables

    console = plain_console()
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
    """Hold two versions against one another, and say in what they differ.

    Both answer the newest labelled rows in the store that neither has learned from. The scores
    below that are those of their gates, each on the rows that were new then.
    """
    from perennial.contest import hold_contest
    from perennial.registry import find_version
    from perennial.registry.comparison import compare_versions
    from perennial.report.records import records_text

    store = open_store(directory, pipeline)
    one, other = (find_version(store, pipeline, name) for name in (left, right))
    differences = compare_versions(store, one, other)
    contest = hold_contest(store, one, other)
    if as_json:
        lines = [line._asdict() for line in differences]
        told = {"contest": contest.model_dump(mode="json"), "lines": lines}
        print_json(told)
        return
    typer.echo(_contest_text(contest) + "\n")
    header = ("", one.version, other.version)
    typer.echo(records_text(header, differences, prose=(1, 2)))


def _contest_text(contest: Contest) -> str:
    """Who is better on the same rows, or why that cannot be said."""
    from perennial.registry.comparison import when_text

    if contest.reason is not None:
        return f"They cannot be held against one another: {contest.reason}."
    rows = f"{contest.rows:,} labelled rows{when_text(contest.first, contest.last)}"
    lines = [f"On the same {rows}, which neither has learned from:"]
    for name, score in ((contest.left, contest.left_score), (contest.right, contest.right_score)):
        figure = "undefined" if score is None else f"{score:.4g}"
        lines.append(f"  {name}  {contest.metric} {figure}")
    if contest.change is not None and contest.low is not None and contest.high is not None:
        lines.append(
            f"  loss of {contest.right} {contest.change:+.1%} against {contest.left} "
            f"({contest.low:+.1%} to {contest.high:+.1%} at 90% confidence)"
        )
    return "\n".join(lines)


@app.command()
def history(
    pipeline: Pipeline,
    at: Annotated[
        datetime | None,
        typer.Option(
            formats=MOMENTS,
            help="Say who answered at this moment; local time, or with a zone such as +0000.",
        ),
    ] = None,
    directory: Directory = DEFAULT_DIR,
    as_json: Json = False,
) -> None:
    """Tell what changed in a pipeline, when, why, and by whom; the oldest first.

    The last line says so where retrains or the monitor keep failing. With **--at**: which version
    answered at that moment, with what share, and the change that had made it so.
    """
    from perennial.registry import read_history, standing_at

    store = open_store(directory, pipeline)
    entries = list(read_history(store, pipeline))
    if at is not None:
        entry = standing_at(entries, at.astimezone())
        if entry is None:
            raise PerennialError(f"{pipeline} had no version yet at {at.astimezone():%F %T %z}")
        typer.echo(entry.model_dump_json(indent=2) if as_json else _standing_text(entry))
        return
    if as_json:
        print_json([e.model_dump(mode="json") for e in entries])
        return
    typer.echo(history_text(entries))
    for alarm in _alarms(store, pipeline, entries):
        typer.echo(f"! {alarm}")


def _alarms(store: Store, pipeline: str, entries: list[HistoryEntry]) -> tuple[str, ...]:
    from perennial.registry import alarms, find_declaration, read_look, retrain_streak
    from perennial.store.lease import utc_now

    declaration = find_declaration(store, pipeline)
    schedule = None if declaration is None else declaration.spec.monitor.schedule
    streak = retrain_streak(reversed(entries))
    return alarms(streak, read_look(store, pipeline), schedule, utc_now())


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
