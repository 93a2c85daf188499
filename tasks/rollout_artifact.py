"""What a rollout looks like in Prefect's UI."""

from __future__ import annotations

import base64

from perennial.registry import Declaration, State, read_history
from perennial.report.rollout import rollout_chart, rollout_picture, stage_marks
from perennial.rollout.decision import Decision
from perennial.rollout.evidence import Evidence
from tasks.artifacts import publish, table
from tasks.connection import store


def publish_rollout(
    declaration: Declaration,
    seen: State,
    state: State,
    evidence: Evidence,
    decision: Decision,
    title: str,
) -> None:
    """Show where a rollout stands, on what grounds, and the confidence sequence of the loss.

    Args:
        seen: the state that was looked at.
        state: what it is now.
    """
    spec = declaration.spec
    lineup = [
        ["champion", state.champion or "none"],
        ["challenger", state.challenger or "none"],
        ["stage", state.stage],
        ["its share of the requests", f"{state.weight:.0%}"],
        ["previous", state.previous or "none"],
        ["waiting", state.waiting or "none"],
    ]
    checks = [[check.name, check.status, check.detail] for check in decision.checks]
    parts = [f"**{title}**: {decision.reason}", table(["", ""], lineup)]
    if len(evidence.losses):
        marks = stage_marks(read_history(store(), spec.name, since=seen.began), seen)
        heading = f"{spec.name}: {title.lower()}"
        picture = rollout_picture(spec, heading, evidence, decision, marks)
        chart = base64.b64encode(rollout_chart(picture)).decode()
        parts.append(
            f"![loss of the challenger against the champion](data:image/png;base64,{chart})"
        )
    if checks:
        parts.append(table(["check", "status", "in words"], checks))
    publish("rollout", spec.name, "\n\n".join(parts), description=title)
