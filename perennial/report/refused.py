"""Validation and quarantine as the command line shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd

from perennial.datasets.dates import in_words
from perennial.report.records import records_text
from perennial.store import layout
from perennial.validation.quarantine import Entry
from perennial.validation.report import Report


def entries_text(entries: Sequence[Entry]) -> str:
    """All entries for a terminal, the oldest first."""
    if not entries:
        return "Nothing is in quarantine."
    header = ("name", "since", "what", "rows", "released", "why")
    return records_text(header, [_entry_fields(entry) for entry in entries], prose=(5,))


def _entry_fields(entry: Entry) -> tuple[str, ...]:
    record = entry.record
    window = layout.quarantined_window(record.name)
    which = "a snapshot" if window is None else in_words(window, record.dates)
    return (
        record.name[:12] if window is None else record.name,
        f"{record.at.astimezone():%Y-%m-%d %H:%M:%S}",
        f"held {which}" if record.kind == "window" else f"rows of {which}",
        f"{record.rows:,}",
        f"{entry.released:,}" if entry.releases else "",
        "; ".join(record.reasons),
    )


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
