"""The page of a rollout: its picture, every check in words, and how it came here."""

from __future__ import annotations

from dataclasses import dataclass

from perennial.registry import HistoryEntry
from perennial.report.page import Table, render_picture
from perennial.report.rollout import RolloutPicture, rollout_chart
from perennial.rollout.check import Check


@dataclass(frozen=True)
class RolloutStory:
    """Where a version stands on its way."""

    pipeline: str
    version: str
    title: str
    """What has become of it."""
    reason: str
    standing: str
    """Who answers now, with what share."""
    rows: int
    labelled_rows: int
    checks: tuple[Check, ...]
    changes: tuple[HistoryEntry, ...]
    """Of this rollout, the oldest first."""


def rollout_page(told: RolloutStory, picture: RolloutPicture) -> str:
    """Write the page; everything is inside, it opens anywhere, offline."""
    difference = next((c.figure for c in told.checks if c.name == "loss"), None)
    facts = [
        ("unknown" if difference is None else f"{difference:+.1%}", "loss against the champion"),
        (f"{picture.margin:+.1%}", "is allowed"),
        (f"{told.labelled_rows:,}", "labelled rows that both were held to"),
        (f"{told.rows:,}", "rows of the stage"),
    ]
    checks = [(check.name, check.status, check.detail) for check in told.checks]
    changes = [
        (f"{e.at:%Y-%m-%d %H:%M:%S} UTC", e.event, str(e.after or ""), e.reason, e.by)
        for e in told.changes
    ]
    tables = [
        Table("Checks", ("check", "status", "in words"), checks),
        Table("How it came here", ("when", "what", "answers since", "why", "by"), changes),
    ]
    return render_picture(
        f"{told.version} of {told.pipeline}: {told.title.lower()}",
        f"{told.reason}. Now: {told.standing}.",
        rollout_chart(picture),
        "confidence sequence of the loss against the champion over the labelled rows, "
        "with the margin, the stages and the guardrails",
        tables,
        facts,
    )
