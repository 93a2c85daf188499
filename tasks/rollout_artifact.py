"""What a rollout looks like: an artifact in Prefect's UI, and a page beside the version."""

from __future__ import annotations

import base64

from perennial.registry import Declaration, Standing, State, read_history
from perennial.registry.manifest import BAKE_PAGE, ROLLOUT_PAGE
from perennial.report.rollout import RolloutPicture, rollout_chart, rollout_picture, stage_marks
from perennial.report.rollout_page import RolloutStory, rollout_page
from perennial.rollout.decision import Decision
from perennial.rollout.evidence import Evidence
from perennial.store import layout
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
    if not decision.checks:  # it passed its gate, and nothing has been looked at
        publish(
            "rollout", spec.name, _markdown(state, evidence, decision, title), description=title
        )
        return
    entries = tuple(read_history(store(), spec.name, since=seen.began))
    heading = f"{spec.name}: {title.lower()}"
    picture = rollout_picture(spec, heading, evidence, decision, stage_marks(entries, seen))
    version = str(seen.champion if seen.stage == "bake" else seen.challenger)
    story = RolloutStory(
        pipeline=spec.name,
        version=version,
        title=title,
        reason=decision.reason,
        standing=str(Standing.model_validate(state, from_attributes=True)),
        rows=evidence.rows,
        labelled_rows=len(evidence.losses),
        checks=decision.checks,
        changes=tuple(entry for entry in entries if entry.version == version),
    )
    name = BAKE_PAGE if seen.stage == "bake" else ROLLOUT_PAGE
    key = layout.version_file(spec.name, version, name)
    store().put(key, rollout_page(story, picture).encode(), content_type="text/html")
    where = f"Page: `{key}`; `perennial report {spec.name} --version {version}` fetches it."
    markdown = _markdown(state, evidence, decision, title, picture)
    publish("rollout", spec.name, f"{markdown}\n\n{where}", description=title)


def _markdown(
    state: State,
    evidence: Evidence,
    decision: Decision,
    title: str,
    picture: RolloutPicture | None = None,
) -> str:
    lineup = [
        ["champion", state.champion or "none"],
        ["challenger", state.challenger or "none"],
        ["stage", state.stage],
        ["its share of the requests", f"{state.weight:.0%}"],
        ["previous", state.previous or "none"],
        ["waiting", state.waiting or "none"],
    ]
    parts = [f"**{title}**: {decision.reason}", table(["", ""], lineup)]
    if picture is not None and len(evidence.losses):
        chart = base64.b64encode(rollout_chart(picture)).decode()
        parts.append(
            f"![loss of the challenger against the champion](data:image/png;base64,{chart})"
        )
    checks = [[check.name, check.status, check.detail] for check in decision.checks]
    if checks:
        parts.append(table(["check", "status", "in words"], checks))
    return "\n\n".join(parts)
