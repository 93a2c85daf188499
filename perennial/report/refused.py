"""Validation and quarantine as the command line shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from perennial.validation.quarantine import Entry
from perennial.validation.report import Report

if TYPE_CHECKING:
    from rich.table import Table


def entries_table(entries: Sequence[Entry]) -> Table | str:
    """One line an entry, the oldest first."""
    from rich.table import Table

    if not entries:
        return "Nothing is in quarantine."
    table = Table("name", "since", "what", "rows", "released", "why", box=None)
    for entry in entries:
        record = entry.record
        is_snapshot = len(record.name) == 64
        name = record.name[:12] if is_snapshot else record.name
        table.add_row(
            name,
            f"{record.at.astimezone():%Y-%m-%d %H:%M:%S}",
            "held window" if record.kind == "window" else "rows",
            f"{record.rows:,}",
            f"{entry.released:,}" if entry.releases else "",
            "; ".join(record.reasons),
        )
    return table


def entries_json(entries: Sequence[Entry]) -> str:
    """All entries, for programs."""
    found = [{**e.model_dump(mode="json"), "released": e.released} for e in entries]
    return json.dumps(found, indent=2)


def report_text(report: Report) -> str:
    """What the rules said, the broken ones one a line."""
    verdict = "would be held" if report.held else "may be used"
    head = (
        f"{report.rows:,} rows, {report.rules} rules, {len(report.findings)} broken, "
        f"{report.refused:,} rows to be set aside: the data {verdict}."
    )
    return "\n".join([head, *(f"  {f.severity}: {f}" for f in report.findings)])


def rows_json(frame: pd.DataFrame) -> str:
    """A JSON object a row, one a line."""
    text: str = frame.to_json(orient="records", lines=True)
    return text.rstrip("\n")


def rows_table(frame: pd.DataFrame) -> str:
    """Rows as text, the rule and the row's id first."""
    first = [name for name in ("_rule", "_row") if name in frame.columns]
    rest = [name for name in frame.columns if name not in first]
    text: str = frame[[*first, *rest]].to_string(index=False, max_colwidth=60)
    return text
