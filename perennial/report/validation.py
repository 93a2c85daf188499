"""The page of a validation: what the rules said of a table, what went aside, what is skewed."""

from __future__ import annotations

from perennial.report.page import Table, render_plain
from perennial.validation.report import Report
from perennial.validation.skew import SkewVerdict


def validation_page(
    pipeline: str, lead: str, report: Report, skew: SkewVerdict | None = None
) -> str:
    """Write the page; it holds all that it shows and opens offline.

    Args:
        lead: names what was judged.
        skew: how rows as served differ from the same rows as trained; None: not looked at.
    """
    verdict = "held" if report.held else "let through"
    broken = [
        (f.column or "table", f.rule, f.severity, f"{f.refused:,}" if f.refused else "", f.observed)
        for f in report.findings
    ]
    tables = [
        Table(
            "Broken rules",
            ("column", "rule", "severity", "rows set aside", "observed"),
            broken,
            note="" if broken else "None.",
        ),
    ]
    if skew is not None:
        skewed = [(s.feature, f"{s.share:.1%}", s.example) for s in skew.features]
        header = ("feature", "rows that differ", "an example")
        tables.append(Table("Training and serving", header, skewed, note=str(skew)))
    facts = [
        (verdict, "the rows"),
        (f"{report.rows:,}", "rows"),
        (str(report.rules), "rules"),
        (str(len(report.findings)), "broken"),
        (f"{report.refused:,}", f"set aside; up to {report.share:.0%} may be"),
    ]
    return render_plain(f"{pipeline}: validation", lead, tables, facts)
