"""Validation and quarantine as the command line shows them."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence

import pandas as pd

from perennial.datasets.dates import in_words
from perennial.report.records import records_text
from perennial.store import layout
from perennial.validation.edits import Origin
from perennial.validation.quarantine import Entry
from perennial.validation.report import Report
from perennial.validation.rules import Rule

_SHA256 = 64
"""Digits of a snapshot's name, of which the first are enough."""


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
        record.name[:12] if len(record.name) == _SHA256 else record.name,
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
    lines = [f"  {f.severity}: {f}" for f in report.findings]
    if report.unlabelled:
        lines.append(f"  {report.unlabelled:,} rows without a label are left out, as in a training")
    return "\n".join([head, *lines])


def rows_json(frame: pd.DataFrame) -> str:
    """A JSON object a row, one a line."""
    text: str = frame.to_json(orient="records", lines=True)
    return text.rstrip("\n")


def rows_table(frame: pd.DataFrame, most: int) -> str:
    """Rows as text, the rule and the row's id first; says how many there are beyond ``most``."""
    first = [name for name in ("_rule", "_row") if name in frame.columns]
    rest = [name for name in frame.columns if name not in first]
    text: str = frame[[*first, *rest]].head(most).to_string(index=False, max_colwidth=60)
    more = len(frame) - most
    return text if more <= 0 else f"{text}\n... and {more:,} more; --rows {len(frame)} shows all"


def suite_text(rules: Sequence[tuple[Rule, Origin]], gone: Sequence[str]) -> str:
    """The rules in force by what they are about, what a person did to them told behind each.

    Args:
        gone: names of rules that were learned and deleted.
    """
    lines: list[str] = []
    subjects = dict.fromkeys(rule.subject for rule, _ in rules)
    for subject in subjects:
        lines.append(subject)
        for rule, origin in rules:
            if rule.subject == subject:
                told = "" if origin == "learned" else f" [{origin}]"
                lines += _wrapped(f"{rule.severity}: {_in_words(rule)}{told}")
    if gone:
        lines += ["deleted", *(line for name in gone for line in _wrapped(name))]
    return "\n".join(lines)


def suite_json(rules: Sequence[tuple[Rule, Origin]], gone: Sequence[str]) -> str:
    """The same for programs."""
    told = [{**rule.model_dump(), "origin": origin} for rule, origin in rules]
    return json.dumps({"expectations": told, "deleted": list(gone)}, indent=2, ensure_ascii=False)


def _in_words(rule: Rule) -> str:
    kind = re.sub(r"^expect_(column_|table_)?(values_)?(to_)?", "", rule.type).replace("_", " ")
    about = ("column", "column_A", "column_B", "column_list")
    told = {key: value for key, value in rule.kwargs.items() if key not in about}
    given = [f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in told.items()]
    return f"{kind} {', '.join(given)}".strip()


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, 80, initial_indent="  ", subsequent_indent="      ", break_long_words=False
    )
