"""What a confirmed drift looks like in Prefect's UI."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from perennial.drift.record import Check
from perennial.drift.why import Cause
from perennial.report.drift import drift_chart
from tasks.artifacts import publish, table


def publish_drift(pipeline: str, checks: Sequence[Check]) -> None:
    """Show what is behind the newest confirmed drift among checks, if there is one."""
    explained = [check.why for check in checks if check.why is not None and check.why.causes]
    if not explained:
        return
    why = explained[-1]
    chart = base64.b64encode(drift_chart(why)).decode()
    header = ["feature", "what changed", "effect", "since", "share of the loss's rise"]
    parts = [
        f"**{why.window}**: what is behind the confirmed drift",
        table(header, [_row(cause) for cause in why.causes]),
        f"![before and after](data:image/png;base64,{chart})",
    ]
    publish("drift", pipeline, "\n\n".join(parts), description=why.window)


def _row(cause: Cause) -> tuple[str, str, float, str, str]:
    share = "" if cause.loss_share is None else f"{cause.loss_share:.0%}"
    return cause.label, cause.detail, cause.effect, cause.since, share
