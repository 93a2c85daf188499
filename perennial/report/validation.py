"""The page of a validation: what the rules said of a snapshot, what went aside, what is skewed."""

from __future__ import annotations

from perennial.report.page import Table, render_plain
from perennial.validation.report import Report
from perennial.validation.skew import SkewVerdict


def validation_page(pipeline: str, snapshot: str, report: Report, skew: SkewVerdict) -> str:
    """Write the page; it holds all that it shows and opens offline."""
    verdict = "held" if report.held else "let through"
    broken = [
        (f.column or "table", f.rule, f.severity, f"{f.refused:,}" if f.refused else "", f.observed)
        for f in report.findings
    ]
    skewed = [(s.feature, f"{s.share:.1%}", s.example) for s in skew.features]
    tables = [
        Table(
            "Broken rules",
            ("column", "rule", "severity", "rows set aside", "observed"),
            broken,
            note="" if broken else "None.",
        ),
        Table(
            "Training and serving",
            ("feature", "rows that differ", "an example"),
            skewed,
            note=str(skew),
        ),
    ]
    facts = [
        (verdict, "the snapshot"),
        (f"{report.rows:,}", "rows"),
        (str(report.rules), "rules"),
        (str(len(report.findings)), "broken"),
        (f"{report.refused:,}", f"set aside; up to {report.share:.0%} may be"),
    ]
    return render_plain(f"{pipeline}: validation", f"Snapshot {snapshot}.", tables, facts)
